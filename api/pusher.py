"""Pusher: hands committed calls to the queue, behind the commits, many at a time.

While the queue is away or full, or has lost older calls that are not yet back, calls wait here and are pushed oldest
first when it takes them again, before any newer one: else those that came last would run first. What is too much to
keep is left to the reconciler.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from api.admission import Admission
from api.outage import Outage
from api.queue_life import QueueLife
from common.errors import QueueFullError, QueueLostError, UnavailableError
from common.models import QueueEntry
from common.queue.base import MessageQueue
from common.telemetry.logs import get_logger

MAX_WAITING = 20_000  # entries that may wait for a slow Redis; the rest is left to the reconciler
PUSH_MAX_CALLS = 500
HOLD_S = (
    60.0  # how long calls wait for older ones that the queue lost: their order is not worth more than that
)
FLUSH_S = 5.0
RETRY_FIRST_S = 0.05
RETRY_MAX_S = 1.0

_log = get_logger("pusher")


class _Waiting(NamedTuple):
    entry: QueueEntry
    since_s: float

    def current(self) -> QueueEntry:
        """The entry with what is left of its delay."""
        if not self.entry.delay_ms:
            return self.entry
        waited_ms = int((time.monotonic() - self.since_s) * 1000)
        return replace(self.entry, delay_ms=max(0, self.entry.delay_ms - waited_ms))


class Pusher:
    """Owns the task that pushes. While a push is under way, what comes waits for the next one."""

    def __init__(self, queue: MessageQueue, admission: Admission, life: QueueLife) -> None:
        self._queue = queue
        self._admission = admission
        self._life = life
        self._held_since_s: float | None = None
        self._part_calls = PUSH_MAX_CALLS
        self._outage = Outage("pushing to the queue")
        self._waiting: list[_Waiting] = []
        self._done = asyncio.get_running_loop().create_future()
        self._has_work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._task = asyncio.create_task(self._push_forever())

    def add(self, entries: Sequence[QueueEntry]) -> asyncio.Future[None] | None:
        """Push *entries* soon. The future is done when that was tried; None: the queue takes none, so don't wait."""
        now_s = time.monotonic()
        self._waiting.extend(_Waiting(entry, now_s) for entry in entries[: MAX_WAITING - len(self._waiting)])
        self._is_idle.clear()
        self._has_work.set()
        return None if self._outage.is_on else self._done

    async def aclose(self) -> None:
        """Push what waits, within FLUSH_S unless the queue takes none, and end the task."""
        if self._outage.is_on:
            self._is_idle.set()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._is_idle.wait()
        except TimeoutError:
            _log.warning("calls were not pushed before the end", count=len(self._waiting))
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _push_forever(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            if not self._waiting:
                self._is_idle.set()
                self._has_work.clear()
                await self._has_work.wait()
            waiting, done = self._waiting, self._done
            self._waiting, self._done = [], asyncio.get_running_loop().create_future()
            try:
                self._life.changed.clear()
                left = await self._push(waiting)
            finally:
                done.set_result(None)
            if not left:
                retry_s = RETRY_FIRST_S
                continue
            self._waiting = [*left, *self._waiting][:MAX_WAITING]
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_s):
                    await self._life.changed.wait()
            retry_s = min(retry_s * 2, RETRY_MAX_S)

    async def _push(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Push what waits in its order; return what is to be tried again."""
        start = 0
        try:
            while part := waiting[start : start + self._part_calls]:
                await self._queue.push([one.current() for one in part], self._generation())
                self._held_since_s = None
                self._admission.hear(is_full=False)
                self._part_calls = min(self._part_calls * 2, PUSH_MAX_CALLS)
                start += len(part)
            self._outage.ended()
        except UnavailableError as error:
            self._outage.began(error)
            self._note(error)
            return waiting[start:]
        except Exception:  # noqa: BLE001 - the task's outermost guard: one bad push must not end all pushing
            _log.exception("push failed", count=len(waiting) - start)
            self._admission.hear(is_full=False)  # nothing may be left here to find that out with
        return []

    def _note(self, error: UnavailableError) -> None:
        if isinstance(error, QueueFullError):
            self._admission.hear(is_full=True)
            self._part_calls = max(1, self._part_calls // 2)  # fewer may fit
            return
        self._life.doubt()
        if isinstance(error, QueueLostError) and self._held_since_s is None:
            self._held_since_s = time.monotonic()

    def _generation(self) -> int | None:
        """The only one to push into; None, any, when it takes too long until that is whole."""
        if self._held_since_s is not None and time.monotonic() - self._held_since_s > HOLD_S:
            _log.warning("calls are pushed before older ones that the queue lost", held_s=HOLD_S)
            return None
        return self._life.generation
