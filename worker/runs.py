"""Run: one claimed call on this worker, from its claim until its record is written and its container is gone.

    claimed ──▶ prepare ──▶ container starts ──▶ runs ──▶ concluded
                   └─────────────── a verdict ends it from outside ┘

Whoever wants a run to end (a lost lease, a cancel, a drain, an output over the limit, the clock) passes a verdict; the
first one counts, and the executor alone acts on it. Nothing here does any input or output.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, TypeVar

from common.models import Call, Detail
from common.queue.base import Lane, Reservation
from worker.containers.driver import RefusedError, new_container_name
from worker.resources import Grant

T = TypeVar("T")


class Verdict(Enum):
    """Why a run is ended from outside."""

    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    WROTE_TOO_MUCH = "wrote_too_much"
    CANCELLED = "cancelled"
    LOST = "lost"  # another may own the call: write nothing
    DRAINED = "drained"  # this worker stops: give the call back with its attempt
    BROKEN = "broken"  # the engine's stream can't be trusted any more

    @property
    def is_outcome(self) -> bool:
        """Whether it says by itself how the call ended."""
        return self not in (Verdict.LOST, Verdict.DRAINED, Verdict.BROKEN)


class StoppedError(Exception):
    """A verdict came before the work was done."""


class Run:
    """A claimed call and the right to run it. ``container`` is its container's name, known before it exists.

    ``grant``: the slot and the memory that the loop took for it.
    """

    grant: Grant

    def __init__(self, reservation: Reservation, call: Call) -> None:
        self.reservation = reservation
        self.call = call
        self.container = new_container_name()
        self.stopping: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.has_container = False  # set before one is created, as the engine's answer may be lost
        self.may_have_run = False
        self.has_ended = False
        self.is_replied = False
        self.is_unheard = False  # its api had ended when the reply came

    @property
    def is_sync(self) -> bool:
        return self.reservation.ticket is not None

    @property
    def lane(self) -> Lane:
        return Lane.SYNC if self.is_sync else Lane.ASYNC

    @property
    def token(self) -> int:
        return self.reservation.token

    @property
    def verdict(self) -> Verdict | None:
        return self.stopping.result() if self.stopping.done() else None

    def stop(self, verdict: Verdict) -> None:
        """End the run for this reason; later verdicts change nothing."""
        if not self.stopping.done():
            self.stopping.set_result(verdict)

    @asynccontextmanager
    async def start_budget(self, sync_s: float) -> AsyncIterator[None]:
        """Bound what comes before the function's own time, for a sync call: somebody waits for it.

        Raises RefusedError when *sync_s* are used up. An async call takes the time that its image needs.
        """
        try:
            async with asyncio.timeout(sync_s if self.is_sync else None):
                yield
        except TimeoutError as error:
            raise RefusedError(Detail.INIT_TIMEOUT, "Timed out before the function started") from error

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """What *work* returns. Raises StoppedError, with *work* cancelled and ended, if a verdict comes first.

        Who is cancelled loses what *work* returns in the same moment: what it holds needs an owner besides.
        """
        task = asyncio.create_task(work)
        either: set[asyncio.Future[Any]] = {task, self.stopping}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        raise StoppedError


class Runs:
    """The runs of this worker, by token: the same call can be here twice, after its lease expired."""

    def __init__(self) -> None:
        self._by_token: dict[int, Run] = {}
        self._verdict: Verdict | None = None  # on whatever comes

    def __len__(self) -> int:
        return len(self._by_token)

    def add(self, run: Run) -> None:
        """Keep *run*. An older run of the same call lost it, or it could not have been claimed again."""
        for older in self.all():
            if older.call.id == run.call.id:
                older.stop(Verdict.LOST)
        self._by_token[run.token] = run
        if self._verdict is not None:
            run.stop(self._verdict)

    def discard(self, run: Run) -> None:
        self._by_token.pop(run.token, None)

    def all(self) -> list[Run]:
        return list(self._by_token.values())

    def stop_all(self, verdict: Verdict) -> None:
        """End all runs, and those that are still to come."""
        self._verdict = verdict
        for run in self.all():
            run.stop(verdict)
