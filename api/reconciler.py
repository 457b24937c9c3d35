"""Reconciler: gives the queue back what it lost. Postgres is the truth, Redis an index of it.

Pushes what is unfinished; push leaves alone what is there, so doing it twice is harmless. Every round looks at what
came in the last minutes (pushes that failed, writes that a restarted Redis lost). A round looks at everything when the
queue's data is of another generation than before, so at the start and after a loss, and every FULL_EVERY_S as a net.
Before it pushes it gives back what decides how calls are handed out: the pause, and tokens that the store will accept;
and it ends calls whose cancel was asked for and whose worker is gone: nobody else would, as long as nobody claims them.
"""

import time
from datetime import UTC, datetime, timedelta

from api.pause import follow_pause
from common.models import CallStatus, QueueEntry, Reason
from common.queue.base import MessageQueue
from common.settings import Settings
from common.store.base import Datastore
from common.telemetry.logs import get_logger
from common.telemetry.metrics import Metrics

PAGE_CALLS = 500
RECENT = timedelta(minutes=10)
FULL_EVERY_S = 600.0

_log = get_logger("reconciler")


class Reconciler:
    """One round at a time. Any number of api processes may run one."""

    def __init__(self, store: Datastore, queue: MessageQueue, metrics: Metrics, settings: Settings) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._queue_name = settings.queue_name
        self._interval_s = settings.reconcile_interval_s
        self._generation = -1
        self._full_due_s = 0.0

    async def run_round(self) -> float:
        """Push what is missing, first what runs first; return the seconds until the next round.

        Raises StoreUnavailableError, QueueUnavailableError, and QueueFullError when not all of it fits.
        """
        generation, begun_s = await self._queue.generation(), time.monotonic()
        is_full = generation != self._generation or begun_s >= self._full_due_s
        await follow_pause(self._store, self._queue, self._queue_name)
        if is_full:
            # A Redis whose clock is behind would give tokens that are smaller than those the rows had: claims of such
            # are refused.
            await self._queue.seed_token(await self._store.largest_token())
        await self._end_cancelled()
        restored = await self._push_all(None if is_full else datetime.now(UTC) - RECENT)
        if is_full:
            self._generation, self._full_due_s = generation, begun_s + FULL_EVERY_S
        if restored:
            _log.warning("calls were missing in the queue and are back", calls=restored)
        return self._interval_s

    async def _end_cancelled(self) -> None:
        ended = await self._store.settle_cancelled(PAGE_CALLS)
        if ended:
            self._metrics.finished.labels(CallStatus.CANCELLED, Reason.CLIENT_REQUEST, "").inc(len(ended))
            _log.info("calls were cancelled whose worker is gone", calls=[str(call_id) for call_id in ended])
            await self._queue.announce(ended)
            await self._queue.cancel(ended)

    async def _push_all(self, since: datetime | None) -> int:
        restored = 0
        after: QueueEntry | None = None
        while page := await self._store.unfinished(after, PAGE_CALLS, since=since):
            new = await self._queue.push(page)
            self._metrics.reconciled.inc(new)
            restored += new
            after = page[-1]
        return restored
