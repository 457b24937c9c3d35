"""A container's streams over one hijacked connection to the engine: stdin to write, stdout and stderr to read.

Own client, because half-closing stdin is what gives a function its end of input, and because this is where bytes flow.
It knows the connection and its framing, nothing about calls. Everything is bounded: a frame's content is passed on in
the pieces in which it arrives and never gathered here.

A frame is ``stream, 0, 0, 0, length (4 bytes, big endian)`` and then *length* bytes; frames may be split anywhere.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from typing import Self

from common.errors import ContainerVanishedError, EngineUnavailableError

_HEADER_BYTES = 8
_PIECE_BYTES = 256 * 1024
_OPEN_S = 10.0


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


class AttachStream:
    """An attached container. One task may send while another reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = Demultiplexer()

    @classmethod
    @asynccontextmanager
    async def open(cls, socket_path: str, container: str) -> AsyncIterator[Self]:
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
            yield cls(reader, writer)
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
            try:
                data = await self._reader.read(_PIECE_BYTES)
            except OSError as error:
                raise EngineUnavailableError("Container engine broke a stream off") from error
            if not data and not self._frames.is_between_frames:
                raise EngineUnavailableError("Container engine broke a stream off")
            pieces = list(self._frames.feed(data))
            if pieces or not data:
                return pieces


async def _hijack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, container: str) -> None:
    """Turn an HTTP connection into the container's streams."""
    writer.write(
        f"POST /containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
        "Host: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
    )
    try:
        async with asyncio.timeout(_OPEN_S):
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise EngineUnavailableError from error
    status = head.split(b" ", 2)[1:2]
    if status == [b"404"]:
        raise ContainerVanishedError
    if status not in ([b"101"], [b"200"]):
        raise EngineUnavailableError("Container engine refused to attach")
