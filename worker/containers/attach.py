"""A container's streams over one hijacked connection to the engine: stdin to write, stdout and stderr to read.

Own client, because half-closing stdin is what gives a function its end of input, and because this is where bytes flow.
It knows the connection and its framing, nothing about calls. Everything is bounded: a frame's content is passed on in
the pieces in which it arrives and never gathered here. So is the work: a container that floods stderr, or writes tiny
pieces, is read at a bounded rate (ReadRate), and then waits for its pipe.

AttachStream is for a call in a container of its own: it is read on demand, and half-closed. Line is for a container
that stays: it is always read, and passes each piece on from the loop's own callback, without a task in between.

A frame is ``stream, 0, 0, 0, length (4 bytes, big endian)`` and then *length* bytes; frames may be split anywhere.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from typing import Protocol, Self, cast

from common.errors import ContainerVanishedError, EngineUnavailableError, UnavailableError

_HEADER_BYTES = 8
_PIECE_BYTES = 256 * 1024
_OPEN_S = 10.0
_HEAD_MAX_BYTES = 16 * 1024
_BACKLOG_BYTES = 2 * 1024 * 1024  # at least what engine, pipes and sockets hold of a stream that is not read
_PIECE_COST_BYTES = 256  # what a piece costs however small it is, in bytes of stderr


class Stream(IntEnum):
    """Where output comes from, by its number in a frame."""

    STDIN = 0  # the engine's own number for it; it never sends any
    STDOUT = 1
    STDERR = 2


class Demultiplexer:
    """Splits what the engine sends into pieces of stdout and stderr. Feed it everything, in order."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = Stream.STDOUT
        self._left = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether all frames so far were complete."""
        return not self._header and not self._left

    def feed(self, data: bytes) -> Iterator[tuple[Stream, memoryview]]:
        """The pieces in *data*, as views into it. Raises EngineUnavailableError for what is no frame."""
        view = memoryview(data)
        while view:
            if not self._left:
                view = self._take_header(view)
                continue
            piece, view = view[: self._left], view[self._left :]
            self._left -= len(piece)
            yield self._stream, piece

    def _take_header(self, view: memoryview) -> memoryview:
        missing = _HEADER_BYTES - len(self._header)
        self._header += view[:missing]
        if len(self._header) == _HEADER_BYTES:
            if self._header[0] not in (1, 2) or any(self._header[1:4]):
                raise EngineUnavailableError("Container engine sent a broken stream")
            self._stream = Stream(self._header[0])
            self._left = int.from_bytes(self._header[4:])
            self._header.clear()
        return view[missing:]


class ReadRate:
    """Limits how fast a container is read: *burst_bytes* of stderr at once, then *bytes_per_s* on average.

    stdout has limits elsewhere, so its bytes are not counted. But each piece of either stream costs at least
    _PIECE_COST_BYTES, because a flood of tiny pieces is work, too.
    """

    def __init__(self, bytes_per_s: int, burst_bytes: int = _BACKLOG_BYTES) -> None:
        self._burst_bytes = burst_bytes
        self._bytes_per_s = bytes_per_s
        self._left_bytes: float = burst_bytes
        self._counted_at = time.monotonic()

    def count(self, stream: Stream, piece_bytes: int) -> None:
        """A piece was read."""
        free_bytes = piece_bytes if stream is Stream.STDOUT else 0
        self._left_bytes -= max(piece_bytes, _PIECE_COST_BYTES) - free_bytes

    def refill(self) -> None:
        """Allow a full burst again."""
        self._left_bytes = self._burst_bytes

    def pause_s(self) -> float:
        """How long to read nothing now."""
        now = time.monotonic()
        earned_bytes = (now - self._counted_at) * self._bytes_per_s
        self._left_bytes = min(self._burst_bytes, self._left_bytes + earned_bytes)
        self._counted_at = now
        return max(0.0, -self._left_bytes / self._bytes_per_s)


class AttachStream:
    """An attached container. One task may send while another reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: ReadRate) -> None:
        self._reader = reader
        self._writer = writer
        self._rate = rate
        self._frames = Demultiplexer()

    @classmethod
    @asynccontextmanager
    async def open(cls, socket_path: str, container: str, rate: ReadRate) -> AsyncIterator[Self]:
        """Attach to a container that exists; the connection is closed at the end.

        Raises ContainerVanishedError if there is no such container, EngineUnavailableError if the engine refuses.
        """
        try:
            async with asyncio.timeout(_OPEN_S):
                reader, writer = await asyncio.open_unix_connection(socket_path, limit=_PIECE_BYTES)
        except OSError as error:  # TimeoutError is one
            raise EngineUnavailableError from error
        try:
            await _hijack(reader, writer, container)
            yield cls(reader, writer, rate)
        finally:
            writer.transport.abort()  # nothing of use is left to be sent

    async def send(self, payload: bytes) -> None:
        """Write all of *payload* to stdin, then its end. A function that does not read it is no error."""
        view = memoryview(payload)
        with suppress(ConnectionError):
            for begin in range(0, len(view), _PIECE_BYTES):
                if self._writer.is_closing():
                    return
                self._writer.write(view[begin : begin + _PIECE_BYTES])
                await self._writer.drain()
            if not self._writer.is_closing():
                self._writer.write_eof()

    async def read(self) -> list[tuple[Stream, memoryview]]:
        """The next pieces of output, none at its end. Raises EngineUnavailableError if it breaks off before."""
        while True:
            if pause_s := self._rate.pause_s():
                await asyncio.sleep(pause_s)
            try:
                data = await self._reader.read(_PIECE_BYTES)
            except OSError as error:
                raise EngineUnavailableError("Container engine broke a stream off") from error
            if not data and not self._frames.is_between_frames:
                raise EngineUnavailableError("Container engine broke a stream off")
            pieces = list(self._frames.feed(data))
            for stream, piece in pieces:
                self._rate.count(stream, len(piece))
            if pieces or not data:
                return pieces


class Listener(Protocol):
    """Who hears what a container says. Called by the loop: must not block, nor raise."""

    def on_output(self, stream: Stream, piece: memoryview) -> None:
        """The next piece of a stream."""
        ...

    def on_closed(self) -> None:
        """The streams ended or broke off; nothing comes after that. Called once."""
        ...


class Line(asyncio.Protocol):
    """An attached container that stays, heard by one listener for as long as the line is open."""

    def __init__(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        self._listener = listener
        self._frames = Demultiplexer()
        self._head = b""  # the engine's answer to our request to attach, as far as it has come
        self._opened: asyncio.Future[None] = loop.create_future()
        self._room: asyncio.Future[None] = loop.create_future()
        self._room.set_result(None)
        self._transport: asyncio.Transport | None = None
        self._rate: ReadRate | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self.is_closed = False

    async def open(self, socket_path: str, container: str, rate: ReadRate) -> None:
        """Attach to a container that exists. Raises what AttachStream.open raises. Safe to cancel."""
        loop = asyncio.get_running_loop()
        self._rate = rate
        try:
            async with asyncio.timeout(_OPEN_S):
                transport, _ = await loop.create_unix_connection(lambda: self, socket_path)
                transport.write(_attach_request(container))
                await self._opened
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):  # TimeoutError is one
                raise EngineUnavailableError from error
            raise

    @property
    def is_full(self) -> bool:
        """Whether to wait with the next write."""
        return not self._room.done()

    @property
    def unsent_bytes(self) -> int:
        """What was written and waits here to be sent."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def write(self, piece: bytes | memoryview) -> None:
        """Send to stdin, without a copy; nothing happens once the line is closed."""
        if self._transport is not None and not self.is_closed:
            self._transport.write(piece)

    @property
    def room(self) -> asyncio.Future[None]:
        """Done while there is room to write, or nothing is written any more. Not to be cancelled."""
        return self._room

    def close(self) -> None:
        """Hang up at once; the listener is told nothing any more. With it, stdin is closed for the container."""
        self.is_closed = True
        self._wake()
        if self._resuming is not None:
            self._resuming.cancel()
        if self._transport is not None:
            self._transport.abort()

    def catch_up(self) -> None:
        """Read on at once if reading pauses: what was written so far belongs to the call that has the container."""
        if self._resuming is not None and self._transport is not None and self._rate is not None:
            self._rate.refill()
            self._resuming.cancel()
            self._resuming = None
            self._transport.resume_reading()

    # -- called by the loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            if not self._opened.done():
                data = self._take_head(data)
            for stream, piece in self._frames.feed(data):
                if self.is_closed:
                    return
                self._listener.on_output(stream, piece)
                if self._rate is not None:
                    self._rate.count(stream, len(piece))
        except UnavailableError as error:
            self._fail(error)
        else:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        error = EngineUnavailableError("Container engine broke a stream off")
        error.__cause__ = exc
        self._fail(error)

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._wake()

    def _rest(self) -> None:
        """Read nothing for as long as the rate asks for. Called with nothing left of what was read."""
        pause_s = self._rate.pause_s() if self._rate is not None else 0
        if pause_s and self._transport is not None and not self.is_closed:
            self._transport.pause_reading()
            self._resuming = asyncio.get_running_loop().call_later(pause_s, self._transport.resume_reading)

    def _take_head(self, data: bytes) -> bytes:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end and len(self._head) < _HEAD_MAX_BYTES:
            return b""
        _check_head(head)
        self._opened.set_result(None)
        return rest

    def _fail(self, error: UnavailableError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
        elif not self.is_closed:
            self.close()
            self._listener.on_closed()

    def _wake(self) -> None:
        if not self._room.done():
            self._room.set_result(None)


async def _hijack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, container: str) -> None:
    """Turn an HTTP connection into the container's streams."""
    writer.write(_attach_request(container))
    try:
        async with asyncio.timeout(_OPEN_S):
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise EngineUnavailableError from error
    _check_head(head)


def _attach_request(container: str) -> bytes:
    return (
        f"POST /containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
        "Host: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def _check_head(head: bytes) -> None:
    status = head.split(b" ", 2)[1:2]
    if status == [b"404"]:
        raise ContainerVanishedError
    if status not in ([b"101"], [b"200"]):
        raise EngineUnavailableError("Container engine refused to attach")
