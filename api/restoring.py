"""Restoring: pushes calls that belong in the queue, first what runs first; push leaves alone what is there.

A call that the queue does not know is not yet missing: it may have been committed a moment ago, with its push under
way, or it may have ended since it was read. So it is doubted first, and looked at again DOUBT_S later, in the store and
in the queue. Where the queue is known to have lost calls there is no doubt, nor where many are away.

Only into the generation of data that the round began with: when Redis loses its data meanwhile, this ends, and begins
anew. Says in between that the turn lasts, so that it ends too when another process may have the next one. Never decides
when to look, nor at what.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from api.metrics import Metrics
from common.models import MAX_PRIORITY, QueueEntry
from common.queue.base import MessageQueue
from common.store.base import Datastore
from common.store.upkeep import Turn
from common.telemetry.logs import get_logger

PAGE_CALLS = 500
PROGRESS_S = 10.0
DOUBT_S = 2.0  # much longer than a push takes after its commit
DOUBTS_MAX = 2_000  # more than can be under way at once: they are missing

_log = get_logger("reconciler")


class Progress:
    """How many calls were looked at, and how many of them were missing and are back. Counts on while work goes on."""

    def __init__(self) -> None:
        self.looked = 0
        self.restored = 0


class Restoring:
    """The work of one turn. ``restored``: how many calls were missing and are back, by cause.

    *is_lost*: the queue is known to have lost calls.
    """

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        metrics: Metrics,
        generation: int,
        turn: Turn,
        progress: Progress,
        *,
        is_lost: bool = False,
    ) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._generation = generation
        self._turn = turn
        self._progress = progress
        self._is_lost = is_lost
        self._doubts: dict[UUID, str] = {}
        self._told_at_s = time.monotonic()
        self.restored: Counter[str] = Counter()

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

        What is in doubt is left to `end_doubts`. Calls that are stored meanwhile may be left out.

        Raises StoreUnavailableError, QueueUnavailableError, QueueLostError, and QueueFullError when not all of it fits.
        """
        for priority in range(MAX_PRIORITY, -1, -1):
            after, is_full = order_no, True
            while is_full:
                page = await self._store.unfinished(priority, after, PAGE_CALLS)
                await self._look_at(page, cause)
                # A page that is not full is the last: to read on would be to run after what is being submitted.
                is_full = len(page) == PAGE_CALLS
                after = page[-1].order_no if page else after

    async def push_unleased(self, adrift: Sequence[UUID], cause: str) -> None:
        """Push running calls that no live worker has, and those of *adrift* that wait again. As push_newer."""
        page: list[QueueEntry] = []
        is_full = True
        while is_full:
            page = await self._store.unleased(adrift, page[-1] if page else None, PAGE_CALLS)
            await self._look_at(page, cause)
            is_full = len(page) == PAGE_CALLS

    async def end_doubts(self) -> None:
        """Look again at what was in doubt, DOUBT_S later, and push what is missing. Raises as push_newer."""
        if self._doubts:
            await asyncio.sleep(DOUBT_S)
            await self._push_doubted()

    async def _look_at(self, page: list[QueueEntry], cause: str) -> None:
        if not page:
            return
        if self._is_lost:
            await self._push(page, cause)
        else:
            absent = await self._queue.absent([entry.id for entry in page])
            self._doubts |= dict.fromkeys(absent, cause)
            if len(self._doubts) > DOUBTS_MAX:
                self._is_lost = True
                await self._push_doubted()
            await self._turn.check()
        self._progress.looked += len(page)
        if time.monotonic() - self._told_at_s > PROGRESS_S:
            self._told_at_s = time.monotonic()
            _log.info("restoring", looked=self._progress.looked, restored=self._progress.restored)

    async def _push_doubted(self) -> None:
        ids = list(self._doubts)
        for start in range(0, len(ids), PAGE_CALLS):
            entries = await self._store.belonging(ids[start : start + PAGE_CALLS])
            for cause in sorted({self._doubts[entry.id] for entry in entries}):
                await self._push([entry for entry in entries if self._doubts[entry.id] == cause], cause)
        self._doubts = {}

    async def _push(self, entries: list[QueueEntry], cause: str) -> None:
        restored = await self._queue.push(entries, self._generation)
        if restored:
            self._metrics.reconciled.labels(cause).inc(restored)
            self.restored[cause] += restored
        self._progress.restored += restored
        await self._turn.check()
