"""ReserveLoop: takes calls from the queue, as many as fit now, and starts a run for each. It runs nothing itself.

Capacity first: nothing is reserved that can't start at once, so that priorities hold and other workers get the rest.
Nothing polls: with nothing to take it waits for the queue's word, for capacity of its own, or for the next due call.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from common.errors import UnavailableError
from common.telemetry.logs import get_logger
from common.telemetry.metrics import Metrics
from worker.backoff import Backoff
from worker.causes import cause_of
from worker.containers.driver import ContainerDriver
from worker.executor import Executor
from worker.intake import Intake
from worker.resources import ResourceBudget
from worker.runs import Run, Runs, Verdict

WAIT_MAX_S = 5.0
WAIT_MIN_S = 0.01
READY_WITHIN_S = 15.0
CHECK_ENGINE_EVERY_S = 1.0

log = get_logger("loop")


class ReserveLoop:
    """Reserves until it is stopped; then its runs end, each in its own way."""

    def __init__(
        self,
        intake: Intake,
        executor: Executor,
        driver: ContainerDriver,
        budget: ResourceBudget,
        runs: Runs,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._executor = executor
        self._driver = driver
        self._budget = budget
        self._runs = runs
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._retries = Backoff(0.1, 2)
        self._reserved_at = -READY_WITHIN_S
        self._checked_at = -CHECK_ENGINE_EVERY_S

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken: the last reserve is recent, or there is no room for another call now."""
        if self._stopping.is_set():
            return False
        return self._budget.capacity() is None or time.monotonic() - self._reserved_at < READY_WITHIN_S

    def stop(self) -> None:
        """Reserve no more. What is reserved at this moment is given back."""
        self._stopping.set()

    async def run(self) -> None:
        """Reserve until ``stop``, then return when the last run has ended."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                await self._step(group)

    async def _step(self, group: asyncio.TaskGroup) -> None:
        self._budget.freed.clear()
        capacity = self._budget.capacity()
        if capacity is None:
            await self._rest()
            return
        try:
            await self._check_engine()
            runs, next_ms = await self._intake.take(capacity)
            self._reserved_at = time.monotonic()
            self._retries.reset()
            for run in runs:
                self._start(group, run)
            if not runs:
                await self._idle(next_ms)
        except UnavailableError as error:
            log.warning("no calls are taken for now", slug=error.slug, cause=cause_of(error))
            await self._rest(self._retries.sleep())

    async def _check_engine(self) -> None:
        now = time.monotonic()
        if now - self._checked_at >= CHECK_ENGINE_EVERY_S:
            await self._driver.check()
            self._checked_at = now

    def _start(self, group: asyncio.TaskGroup, run: Run) -> None:
        self._budget.grant(run.call.memory)
        self._runs.add(run)
        self._metrics.running.set(len(self._runs))
        if self._stopping.is_set():
            run.stop(Verdict.DRAINED)
        group.create_task(self._carry(run), name=f"call {run.call.id}")

    async def _carry(self, run: Run) -> None:
        try:
            await self._executor.execute(run)
        finally:
            self._runs.discard(run)
            self._metrics.running.set(len(self._runs))
            self._budget.give_back(run.call.memory)

    async def _idle(self, next_ms: int | None) -> None:
        """Wait until a reserve may find something."""
        timeout_s = WAIT_MAX_S if next_ms is None else min(max(next_ms / 1000, WAIT_MIN_S), WAIT_MAX_S)
        await self._rest(self._intake.wait(timeout_s))

    async def _rest(self, until: Coroutine[Any, Any, None] | None = None) -> None:
        """Wait for *until* (and raise what it raises), for capacity that comes back, or for the stop."""
        others = [asyncio.create_task(event.wait()) for event in (self._budget.freed, self._stopping)]
        awaited = asyncio.create_task(until) if until is not None else None
        tasks: list[asyncio.Task[Any]] = [*others, *([awaited] if awaited else [])]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if awaited is not None and awaited.done():
                awaited.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
