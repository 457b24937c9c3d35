"""Restoring: pushes calls that belong in the queue, first what runs first; push leaves alone what is there.

Only into the generation of data that the round began with: when Redis loses its data meanwhile, this ends, and begins
anew. Says in between that the turn lasts, so that it ends too when another process may have the next one. Never decides
when to look, nor at what.
"""

import time
from collections.abc import Sequence
from uuid import UUID

from common.models import MAX_PRIORITY, QueueEntry
from common.queue.base import MessageQueue
from common.store.base import Datastore
from common.store.upkeep import Turn
from common.telemetry.logs import get_logger
from common.telemetry.metrics import Metrics

PAGE_CALLS = 500
PROGRESS_S = 10.0

_log = get_logger("reconciler")


class Progress:
    """How many calls were looked at, and how many of them were missing and are back. Counts on while work goes on."""

    def __init__(self) -> None:
        self.looked = 0
        self.restored = 0


class Restoring:
    """The work of one turn."""

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        metrics: Metrics,
        generation: int,
        turn: Turn,
        progress: Progress,
    ) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._generation = generation
        self._turn = turn
        self._progress = progress
        self._told_at_s = time.monotonic()

    async def push_all(self, cause: str) -> int | None:
        """Push everything that belongs in the queue; return the order_no up to which that was so, None if unknown.

        Raises as push_newer.
        """
        settled = await self._store.settled_order_no()
        await self.push_newer(0, cause)
        if settled is None:
            return None
        # What came meanwhile and could not be pushed, before what comes next and can.
        settled_since = await self._store.settled_order_no()
        await self.push_newer(settled, cause)
        return settled if settled_since is None else settled_since

    async def push_newer(self, order_no: int, cause: str) -> None:
        """Push what belongs in the queue and is newer than *order_no*; with 0 everything. *cause* is for the metrics.

        Raises StoreUnavailableError, QueueUnavailableError, QueueLostError, and QueueFullError when not all of it fits.
        """
        for priority in range(MAX_PRIORITY, -1, -1):
            after = order_no
            while page := await self._store.unfinished(priority, after, PAGE_CALLS):
                await self._push(page, cause)
                after = page[-1].order_no

    async def push_unleased(self, adrift: Sequence[UUID], cause: str) -> None:
        """Push running calls that no live worker has, and those of *adrift* that wait again. Raises as push_newer."""
        page: list[QueueEntry] = []
        while page := await self._store.unleased(adrift, page[-1] if page else None, PAGE_CALLS):
            await self._push(page, cause)

    async def _push(self, entries: list[QueueEntry], cause: str) -> None:
        restored = await self._queue.push(entries, self._generation)
        if restored:
            self._metrics.reconciled.labels(cause).inc(restored)
        self._progress.looked += len(entries)
        self._progress.restored += restored
        await self._turn.check()
        if time.monotonic() - self._told_at_s > PROGRESS_S:
            self._told_at_s = time.monotonic()
            _log.info("restoring", looked=self._progress.looked, restored=self._progress.restored)
