"""Pusher: hands committed calls to the queue, behind the commits, many at a time.

While the queue is away, calls wait here and are pushed oldest first when it is back, before any newer one: else those
that came last would run first. What a full queue refuses, or what is too much to keep, is left to the reconciler.
"""

import asyncio
from collections.abc import Sequence

from api.outage import Outage
from common.errors import QueueUnavailableError, UnavailableError
from common.models import QueueEntry
from common.queue.base import MessageQueue
from common.telemetry.logs import get_logger

MAX_WAITING = 20_000  # entries that may wait for a slow Redis; the rest is left to the reconciler
PUSH_MAX_CALLS = 500
FLUSH_S = 5.0
RETRY_FIRST_S = 0.05
RETRY_MAX_S = 1.0

_log = get_logger("pusher")


class Pusher:
    """Owns the task that pushes. While a push is under way, what comes waits for the next one."""

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._outage = Outage("pushing to the queue")
        self._entries: list[QueueEntry] = []
        self._done = asyncio.get_running_loop().create_future()
        self._has_work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._task = asyncio.create_task(self._push_forever())

    def add(self, entries: Sequence[QueueEntry]) -> asyncio.Future[None] | None:
        """Push *entries* soon. The future is done when that was tried; None: the queue is away, so don't wait."""
        self._entries.extend(entries[: MAX_WAITING - len(self._entries)])
        self._is_idle.clear()
        self._has_work.set()
        return None if self._outage.is_on else self._done

    async def aclose(self) -> None:
        """Push what waits, within FLUSH_S unless the queue is away, and end the task."""
        if self._outage.is_on:
            self._is_idle.set()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._is_idle.wait()
        except TimeoutError:
            _log.warning("calls were not pushed before the end", calls=len(self._entries))
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _push_forever(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            if not self._entries:
                self._is_idle.set()
                self._has_work.clear()
                await self._has_work.wait()
            entries, done = self._entries, self._done
            self._entries, self._done = [], asyncio.get_running_loop().create_future()
            try:
                left = await self._push(entries)
            finally:
                done.set_result(None)
            if not left:
                retry_s = RETRY_FIRST_S
                continue
            self._entries = [*left, *self._entries][:MAX_WAITING]
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_MAX_S)

    async def _push(self, entries: list[QueueEntry]) -> list[QueueEntry]:
        """Push *entries* in their order; return those to try again."""
        start = 0
        try:
            for start in range(0, len(entries), PUSH_MAX_CALLS):
                await self._queue.push(entries[start : start + PUSH_MAX_CALLS])
            self._outage.ended()
        except QueueUnavailableError as error:
            self._outage.began(error)
            return entries[start:]
        except UnavailableError as error:
            self._outage.began(error)
        except Exception:  # noqa: BLE001 - the task's outermost guard: one bad push must not end all pushing
            _log.exception("push failed", calls=len(entries))
        return []
