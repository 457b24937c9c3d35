"""Oversized: ends calls that no worker is large enough for, so that they neither wait for ever nor stand in the way.

The store settles them, then the queue forgets them. Any number of api processes may do it. It ends nothing while the
largest live worker has not been the same for the grace time: one that restarts is not missing.
"""

import time

from api.metrics import Metrics
from common.models import CallStatus, Detail, Reason
from common.queue.announcer import Announcer
from common.queue.base import MessageQueue
from common.store.base import Datastore
from common.telemetry.logs import get_logger

PAUSE_S = 5.0
BATCH_CALLS = 500
HEAD_CALLS = 100  # more than a reserve looks past

_log = get_logger("oversized")


class Oversized:
    """One round at a time; it watches the largest worker from its first round on."""

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        announcer: Announcer,
        metrics: Metrics,
        grace_s: float,
    ) -> None:
        self._store = store
        self._queue = queue
        self._announcer = announcer
        self._metrics = metrics
        self._grace_s = grace_s
        self._largest_mb: int | None = None
        self._since_s = 0.0

    async def run_round(self) -> float:
        """End what is too large; return the seconds until the next round.

        Raises StoreUnavailableError and QueueUnavailableError; what the queue was not told is found in a later round.
        """
        largest_mb = await self._store.largest_worker_mb()
        if largest_mb is None or not self._is_steady(largest_mb):
            return PAUSE_S
        ended = await self._store.settle_no_capacity(largest_mb, BATCH_CALLS)
        if ended:
            self._announcer.tell(ended)
            self._metrics.finished.labels(CallStatus.ERROR, Reason.KILLED, Detail.NO_CAPACITY).inc(len(ended))
            _log.warning(
                "calls were ended: no worker is large enough", count=len(ended), largest_mb=largest_mb
            )
        await self._queue.cancel(ended)
        await self._clear_head(largest_mb)
        return 0 if len(ended) == BATCH_CALLS else PAUSE_S

    def _is_steady(self, largest_mb: int) -> bool:
        now_s = time.monotonic()
        if largest_mb != self._largest_mb:
            self._largest_mb, self._since_s = largest_mb, now_s
        return now_s - self._since_s >= self._grace_s

    async def _clear_head(self, largest_mb: int) -> None:
        """Take out ended calls that block the head: the queue was away when they ended, or they were pushed then."""
        head = await self._queue.peek(HEAD_CALLS)
        large = [call.id for call in head if call.memory_mb > largest_mb and call.priority is not None]
        if large:
            await self._queue.cancel(list(await self._store.ended(large)))
