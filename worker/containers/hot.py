"""Slot: one hot container, which takes one call at a time for as long as it is beyond doubt.

What it says is always read. stdout goes to the reader of the call that it runs, stderr to that call's log, from the
first byte of the exchange until ``end_call``. Any other byte of stdout is doubt: nobody can tell whose it is. Doubt is
for good: the container is never used again. A call's own failure to make sense of an answer is doubt, too.

Not done here: starting, timing, killing. How answers look is the reader's.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from common.errors import ContainerVanishedError
from common.telemetry.logs import get_logger
from worker.containers.attach import Line, Stream
from worker.containers.driver import ContainerDriver, ContainerSpec
from worker.logcapture import CallLog

_PIECE_BYTES = 256 * 1024
_ONE_WRITE_BYTES = 16 * 1024  # a request up to this size is copied together: one write is faster than two
_SAMPLE_BYTES = 512

GRACE_S = 0.005  # how long after an answer, or after the last of stderr, more of it may come
CATCH_UP_S = 0.5  # how long the rest of a flood may take
LATE_LOG_S = 0.05  # how long the first of it may take, of a function that is expected to write some

log = get_logger("hot")


class Answer(Protocol):
    """What a function answered; formats.base.Response."""

    @property
    def is_last(self) -> bool: ...


A_co = TypeVar("A_co", bound=Answer, covariant=True)
A = TypeVar("A", bound=Answer)


class Reader(Protocol[A_co]):
    """Reads exactly one answer; formats.base.ResponseReader."""

    def feed(self, data: memoryview) -> A_co | None: ...
    def end(self) -> A_co | None: ...
    def forget(self) -> None: ...


class SlotError(Exception):
    """The container could not answer. ``nothing_written``: it can't have seen a byte of the request: try another."""

    def __init__(self, message: str, *, nothing_written: bool) -> None:
        super().__init__(message)
        self.nothing_written = nothing_written


class ContainerExitedError(SlotError):
    """It ended before it had answered."""

    def __init__(self, *, exit_code: int, oom_killed: bool, nothing_written: bool) -> None:
        super().__init__("Container exited before it had answered", nothing_written=nothing_written)
        self.exit_code = exit_code
        self.oom_killed = oom_killed


class ExcessOutputError(SlotError):
    """It wrote to stdout before it was asked anything."""


class _ClosedError(Exception):
    """The line was closed before the answer was complete."""


class _Exchange(Generic[A]):
    """One request on its way, and its answer in the making."""

    def __init__(self, reader: Reader[A], line: Line) -> None:
        self.answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._reader = reader
        self._line = line
        self._left_bytes = 0
        self.began_at = datetime.now(UTC)

    @property
    def was_sent(self) -> bool:
        """Whether all of the request has left this process."""
        return not (self._left_bytes or self._line.unsent_bytes)

    async def send(self, request: Sequence[bytes]) -> None:
        """Write *request*, as fast as it is taken; return early if the answer comes first."""
        if self._line.is_closed:
            raise _ClosedError
        self._left_bytes = sum(map(len, request))
        if self._left_bytes <= _ONE_WRITE_BYTES:
            self._write(b"".join(request))
        else:
            for piece in request:
                await self._send_piece(memoryview(piece))

    async def _send_piece(self, piece: memoryview) -> None:
        for begin in range(0, len(piece), _PIECE_BYTES):
            if self.answer.done():
                return
            self._write(piece[begin : begin + _PIECE_BYTES])
            if self._line.is_full:
                waited_for: set[asyncio.Future[Any]] = {self._line.room, self.answer}
                await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)

    def _write(self, piece: bytes | memoryview) -> None:
        self._left_bytes -= len(piece)
        self._line.write(piece)

    def feed(self, piece: memoryview) -> None:
        """The next bytes of the answer."""
        try:
            answer = self._reader.feed(piece)
        except Exception as error:  # noqa: BLE001 - who exchanges gets it: a bad answer, or a reader's bug
            self.answer.set_exception(error)
        else:
            if answer is not None:
                self.answer.set_result(answer)

    def finish(self) -> None:
        """Nobody waits for the answer any more. It is not kept here: it may be large, and containers idle for long."""
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()  # if there was one, it was raised, or nobody wants it
        self.answer = asyncio.get_running_loop().create_future()
        self.answer.cancel()  # done, as the one before it
        self._reader.forget()

    def allows(self, piece: memoryview) -> bool:
        """Whether these bytes may follow the complete answer, such as the end of its line."""
        try:
            return self._reader.feed(piece) is not None
        except Exception:  # noqa: BLE001 - as above
            return False

    def end(self) -> None:
        """The end of all that the container says."""
        try:
            answer = self._reader.end()
        except Exception as error:  # noqa: BLE001 - as above
            self.answer.set_exception(error)
        else:
            if answer is None:
                self.answer.set_exception(_ClosedError())
            else:
                self.answer.set_result(answer)


class Slot:
    """A hot container's conversation. Made by the pool; who has acquired it may exchange once, then gives it back."""

    def __init__(self, name: str, driver: ContainerDriver, on_doubt: Callable[["Slot"], None]) -> None:
        self.name = name
        self.is_fresh = True  # until its first call has ended
        self.is_reusable = True
        self.expects_log = (
            True  # whether stderr may be on its way: the last call wrote some, or this is the first
        )
        self._driver = driver
        self._on_doubt = on_doubt
        self._line = Line(self)
        self._log: CallLog | None = None
        self._heard = asyncio.Event()  # whether something came on stderr since the call began
        self._pieces = 0  # of stderr, ever
        self._exchange: _Exchange[Any] | None = (
            None  # kept after its end: its reader knows what may still come
        )
        self._is_sampled = False

    async def launch(self, spec: ContainerSpec) -> None:
        """Create the container, which bears the slot's name, and start it; attached first, so that nothing is missed.

        Raises what the driver's create, connect and start raise.
        """
        await self._driver.create(spec)
        await self._driver.connect(self.name, self._line)
        await self._driver.start(self.name)

    async def exchange(self, request: Sequence[bytes], reader: Reader[A], call_log: CallLog) -> A:
        """Write *request* and return the answer to it, reading meanwhile. The function need not read all of it.

        Raises what the reader raises, ContainerExitedError, ExcessOutputError, and EngineUnavailableError when the
        streams break; the slot is not reusable then. Safe to cancel: it is not reusable either. Has no time limit.
        """
        if not (self.is_reusable or self._line.is_closed):
            raise ExcessOutputError("Function wrote to stdout before it was asked", nothing_written=True)
        self._log = call_log
        self._heard.clear()
        exchange = _Exchange(reader, self._line)
        self._exchange = exchange
        is_sound = False
        try:
            await exchange.send(request)
            answer = await exchange.answer
            is_sound = exchange.was_sent and not answer.is_last
        except _ClosedError:
            raise await self._how_it_ended(exchange.began_at) from None
        finally:
            exchange.finish()  # what comes from here on is no part of it
            self._line.catch_up()
            self.is_reusable = self.is_reusable and is_sound
        return answer

    async def hear_out(self) -> None:
        """Wait for what the call wrote to stderr before its answer: the engine passes the two on apart. Bounded."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LATE_LOG_S):
                await self._heard.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                pieces = -1
                while pieces != self._pieces:
                    pieces = self._pieces
                    await asyncio.sleep(GRACE_S)

    def end_call(self) -> CallLog | None:
        """The call is over. What still comes on stderr is its own until `end_log`, or until the next call begins."""
        self.is_fresh = self.is_fresh and self._exchange is None
        self.expects_log = self._heard.is_set()
        self._is_sampled = False
        return self._log

    def end_log(self, call_log: CallLog | None) -> None:
        """Add no more to this log."""
        if self._log is call_log:
            self._log = None

    def close(self) -> None:
        """Hang up; nothing is heard any more. An exchange that is under way ends."""
        self.is_reusable = False
        self._line.close()
        self._end_exchange()

    # -- heard from the line -------------------------------------------------------------------------------------

    def on_output(self, stream: Stream, piece: memoryview) -> None:
        if stream is Stream.STDERR:
            self._hear(piece)
        elif self._exchange is not None and not self._exchange.answer.done():
            self._exchange.feed(piece)
        elif self._exchange is None or not self._exchange.allows(piece):
            self._doubt()

    def on_closed(self) -> None:
        self._end_exchange()
        self._doubt()

    def _end_exchange(self) -> None:
        if self._exchange is not None and not self._exchange.answer.done():
            self._exchange.end()

    def _hear(self, piece: memoryview) -> None:
        self.expects_log = True
        self._heard.set()
        self._pieces += 1
        if self._log is not None:
            self._log.append(piece)
        elif not self._is_sampled:
            self._is_sampled = True
            log.debug("stderr of an idle container", container=self.name, sample=bytes(piece[:_SAMPLE_BYTES]))

    def _doubt(self) -> None:
        if self.is_reusable:
            self.is_reusable = False
            self._on_doubt(self)

    async def _how_it_ended(self, began_at: datetime) -> Exception:
        try:
            end = await self._driver.exit(self.name)
        except ContainerVanishedError as error:
            return error
        # The engine takes bytes for a container that is gone, so that they were written says nothing; the clock does,
        # which is ours, too: the engine is on this machine.
        return ContainerExitedError(
            exit_code=end.exit_code, oom_killed=end.oom_killed, nothing_written=end.ended_at < began_at
        )
