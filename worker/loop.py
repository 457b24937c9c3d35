"""ReserveLoop: takes calls from the queue, as many as fit now, and starts a run for each. It runs nothing itself.

Capacity first: nothing is reserved that can't start at once, so that priorities hold and other workers get the rest.
Nothing polls: with nothing to take it waits for the queue's word, for capacity of its own, or for the next due call.
Its wait on the queue goes on while it reserves: giving one up costs a connection.
"""

import asyncio
import time

import structlog

from common.errors import UnavailableError
from common.models import request_id_of
from common.queue.base import Capacity, Lane
from common.telemetry.logs import get_logger
from worker.backoff import Backoff
from worker.causes import cause_of
from worker.containers.driver import ContainerDriver
from worker.executor import Executor
from worker.intake import Intake, Taken
from worker.metrics import Metrics
from worker.resources import ResourceBudget
from worker.runs import Run, Runs

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
        self._executor = executor
        self._driver = driver
        self._budget = budget
        self._runs = runs
        self._metrics = metrics
        self._intake = intake
        self._is_stopping = False
        self._wake = asyncio.Event()  # something happened: whoever waits looks what it was
        budget.freed = self._wake.set
        self._call_wait = _CallWait(intake, self._wake)
        self._retries = Backoff(0.1, 2)
        self._reserved_at = -READY_WITHIN_S
        self._checked_at = -CHECK_ENGINE_EVERY_S
        self._trouble: str | None = None  # of the last step

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken."""
        return self.why_not_ready is None

    @property
    def why_not_ready(self) -> str | None:
        """Why no calls are taken now; None if they are, or there is only no room for another one."""
        if self._is_stopping:
            return "draining"
        if self._trouble is not None:
            return f"no calls are taken: {self._trouble}"
        is_recent = self._budget.capacity() is None or time.monotonic() - self._reserved_at < READY_WITHIN_S
        return None if is_recent else f"no look at the queue for {READY_WITHIN_S:g} s"

    def stop(self) -> None:
        """Reserve no more. What is being reserved at this moment runs like what runs already."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Reserve until ``stop``, then return when the last run has ended."""
        async with asyncio.TaskGroup() as group:
            try:
                while not self._is_stopping:
                    await self._step(group)
            finally:
                await self._call_wait.give_up()

    async def _step(self, group: asyncio.TaskGroup) -> None:
        capacity = self._budget.capacity()
        if capacity is None:
            await self._call_wait.give_up()  # what it would hear is for a worker that has room
            await self._sleep()
            return
        try:
            await self._check_engine()
            taken = await self._intake.take(capacity)
            self._reserved_at = time.monotonic()
            self._retries.reset()
            self._recovered()
            for run in taken.runs:
                self._start(group, run)
            if not (taken.runs and taken.has_left):
                await self._idle(_lanes(self._budget.capacity()), taken)
        except UnavailableError as error:
            if self._trouble != error.message:
                log.warning("no calls are taken for now", slug=error.slug, cause=cause_of(error))
            self._trouble = error.message
            await self._rest(self._retries.next_s())
        except Exception as error:  # what nobody expected must not end the calls that run
            self._trouble = "an unexpected error"
            log.exception("no calls are taken for now", cause=f"{type(error).__name__}: {cause_of(error)}")
            await self._rest(self._retries.next_s())

    def _recovered(self) -> None:
        if self._trouble is not None:
            log.warning("calls are taken again")
        self._trouble = None

    async def _check_engine(self) -> None:
        now = time.monotonic()
        if now - self._checked_at >= CHECK_ENGINE_EVERY_S:
            await self._driver.check()
            self._checked_at = now

    def _start(self, group: asyncio.TaskGroup, run: Run) -> None:
        run.grant = self._budget.grant(run.lane, run.call.memory)
        self._runs.add(run)
        self._metrics.running.set(len(self._runs))
        group.create_task(self._carry(run), name=f"call {run.call.id}")

    async def _carry(self, run: Run) -> None:
        """Run it in a task of its own: all lines of the log from here on carry the ids of call and request."""
        structlog.contextvars.bind_contextvars(
            call_id=run.call.id, request_id=request_id_of(run.call.headers)
        )
        try:
            await self._executor.execute(run)
        finally:
            self._runs.discard(run)
            self._metrics.running.set(len(self._runs))
            run.grant.give_back()

    async def _idle(self, lanes: frozenset[Lane], taken: Taken) -> None:
        """Wait until a reserve may find something: a word from the queue, the next due call, or room for what is left.

        Capacity that comes back is of no interest while nothing was left behind in the lanes that were asked for.
        """
        if not lanes:
            return
        timeout_s = (
            WAIT_MAX_S if taken.next_ms is None else min(max(taken.next_ms / 1000, WAIT_MIN_S), WAIT_MAX_S)
        )
        until = time.monotonic() + timeout_s
        await self._call_wait.begin(lanes)
        while not self._is_stopping and time.monotonic() < until:
            await self._sleep(until)
            if self._call_wait.is_over:
                await self._call_wait.hear()
                return
            if taken.has_left or _lanes(self._budget.capacity()) != lanes:
                return

    async def _rest(self, wait_s: float) -> None:
        """Wait that long, whatever happens but the stop."""
        until = time.monotonic() + wait_s
        while not self._is_stopping and time.monotonic() < until:
            await self._sleep(until)

    async def _sleep(self, until: float | None = None) -> None:
        """Wait for the next event, or for *until* (monotonic seconds)."""
        timer = asyncio.get_running_loop().call_at(until, self._wake.set) if until is not None else None
        await self._wake.wait()
        self._wake.clear()
        if timer is not None:
            timer.cancel()


class _CallWait:
    """The one wait on the queue that may be under way. Sets *wake* when it is over."""

    def __init__(self, intake: Intake, wake: asyncio.Event) -> None:
        self._intake = intake
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self._lanes: frozenset[Lane] = frozenset()

    @property
    def is_over(self) -> bool:
        return self._task is not None and self._task.done()

    async def begin(self, lanes: frozenset[Lane]) -> None:
        """Wait for calls of *lanes*, for WAIT_MAX_S at most; a wait for the same lanes that is under way goes on."""
        if self._task is not None and lanes == self._lanes:
            if self._task.done():
                self._wake.set()
            return
        await self.give_up()
        self._lanes = lanes
        self._task = asyncio.create_task(
            self._intake.wait(sorted(lanes, key=lambda lane: lane.value), WAIT_MAX_S)
        )
        self._task.add_done_callback(lambda _: self._wake.set())

    async def hear(self) -> None:
        """End a wait that is over; raise what it raised."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def give_up(self) -> None:
        """Cancel a wait under way; what it has heard is lost, which delays other workers by a few seconds at most."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _lanes(capacity: Capacity | None) -> frozenset[Lane]:
    """For which kinds of calls there is room."""
    if capacity is None:
        return frozenset()
    room = {Lane.SYNC: capacity.sync_slots, Lane.ASYNC: capacity.async_slots}
    return frozenset(lane for lane, slots in room.items() if slots)
