"""LeaseKeeper: keeps this worker's reservations alive, and ends the runs whose right to run is gone.

One task extends all leases, three times in each lease, and at once when a cancel is announced. What it hears: held; a
cancel was asked for; lost; or unknown, when the queue lost its data, and then the store knows whose call it is. Another
task asks it: the leases of all others must not run out while it is slow to answer. A queue or a store that is away ends
no run: whoever has the call by then is found out when the outcome is recorded.

A cancel stands in the store before the queue hears of it, if it ever does. So another task asks the store, too.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from common.errors import UnavailableError
from common.queue.base import Extension, MessageQueue
from common.store.base import ClaimRequest, Datastore
from common.telemetry.logs import get_logger
from worker.metrics import Metrics
from worker.runs import Run, Runs, Verdict

EXTENSIONS_PER_LEASE = 3
CANCEL_LOOK_S = 5.0  # how long a cancel that the queue never heard of, or forgot, may go unnoticed

log = get_logger("leases")


class LeaseKeeper:
    """Extends the leases of all runs until it is cancelled."""

    def __init__(
        self, queue: MessageQueue, store: Datastore, runs: Runs, metrics: Metrics, lease_s: float
    ) -> None:
        self._queue = queue
        self._store = store
        self._runs = runs
        self._metrics = metrics
        self._interval_s = lease_s / EXTENSIONS_PER_LEASE
        self._announced = asyncio.Event()
        self._unknown: list[Run] = []  # to the queue, at the last extension
        self._doubted = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look_forever())
            group.create_task(self._ask_forever())
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._announced.wait()
                self._announced.clear()
                try:
                    await self.extend()
                except UnavailableError as error:
                    log.warning("leases not extended", slug=error.slug, runs=len(self._runs))

    async def _listen(self) -> None:
        """Announcements may be missed, so they decide nothing: they only bring the next extension forward."""
        async for call_id in self._queue.cancellations():
            if any(run.call.id == call_id for run in self._runs.all()):
                self._announced.set()

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(CANCEL_LOOK_S)
            try:
                await self.look_for_cancels()
            except UnavailableError as error:
                log.warning("store not asked for cancels", slug=error.slug, runs=len(self._runs))

    async def look_for_cancels(self) -> None:
        """Pass a verdict on the runs whose end was asked for, as far as the store knows. A sync call has no row."""
        runs = [run for run in self._runs.all() if not run.is_sync]
        if not runs:
            return
        requests = [ClaimRequest(id=run.call.id, token=run.token) for run in runs]
        cancelled = await self._store.cancel_requested(requests)
        for run in runs:
            if run.call.id in cancelled:
                run.stop(Verdict.CANCELLED)

    async def extend(self) -> None:
        """Extend every lease once, and pass a verdict on the runs whose lease is known not to be what it was."""
        runs = self._runs.all()
        if not runs:
            return
        self._unknown = []
        for run, extension in zip(
            runs, await self._queue.extend([run.reservation for run in runs]), strict=True
        ):
            if extension is Extension.CANCEL_REQUESTED:
                run.stop(Verdict.CANCELLED)
            elif extension is Extension.LOST:
                self._lose(run)
            elif extension is Extension.UNKNOWN and not run.is_sync:  # nobody else can have a sync call
                self._unknown.append(run)
        if self._unknown:
            self._doubted.set()

    async def _ask_forever(self) -> None:
        """What the store does not answer is asked again after the next extension."""
        while True:
            await self._doubted.wait()
            self._doubted.clear()
            try:
                await self._ask_store(self._unknown)
            except UnavailableError as error:
                log.warning("store not asked whose calls these are", slug=error.slug, runs=len(self._unknown))

    async def _ask_store(self, runs: Sequence[Run]) -> None:
        held = await self._store.held([ClaimRequest(id=run.call.id, token=run.token) for run in runs])
        for run in runs:
            if run.call.id not in held:
                self._lose(run)

    def _lose(self, run: Run) -> None:
        # One that has ended may just have been recorded and acked; if not, the store refuses its outcome.
        if not run.has_ended and run.verdict is None:
            self._metrics.lost.inc()
            run.stop(Verdict.LOST)
