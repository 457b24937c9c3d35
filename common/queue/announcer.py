"""Announcer: tells followers of calls what this process has committed, without holding up whoever committed it.

Ids gather for a moment and go out as one message. What can't be sent is forgotten: followers read the store now and
then all the same. Knows nothing of what became of a call.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from uuid import UUID

from common.queue.base import MessageQueue
from common.telemetry.logs import get_logger

GATHER_S = 0.01
MAX_WAITING = 20_000  # ids that may wait for a slow Redis; the rest is left to the followers' own reading
FLUSH_S = 1.0

_log = get_logger("announcer")


class Announcer:
    """Owns the task that publishes. Made and closed inside the running loop."""

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._waiting: set[UUID] = set()
        self._has_work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._task = asyncio.create_task(self._publish_forever())

    def tell(self, ids: Iterable[UUID]) -> None:
        """Announce the calls soon. Call it after the commit. Never waits and never fails."""
        self._waiting.update(islice(ids, max(0, MAX_WAITING - len(self._waiting))))
        if self._waiting:
            self._is_idle.clear()
            self._has_work.set()

    async def aclose(self) -> None:
        """Publish what waits, within FLUSH_S, and end the task."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._is_idle.wait()
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _publish_forever(self) -> None:
        while True:
            if not self._waiting:
                self._is_idle.set()
                self._has_work.clear()
                await self._has_work.wait()
            await asyncio.sleep(GATHER_S)
            ids, self._waiting = list(self._waiting), set()
            try:
                await self._queue.announce(ids)
            except Exception:  # noqa: BLE001 - the task's outermost guard: one bad message must not end all of them
                _log.exception("announcing failed", count=len(ids))
