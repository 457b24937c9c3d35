"""Executor: one call from its claim to its end. Platform trouble is handled here; function trouble is an Outcome.

Its format decides who runs it: cold.py, or hot.py. Here is decided what becomes of it then: record + ack, or give back.

What goes wrong for reasons that are not the call's own (the engine, the store) gives the call back to the queue, to be
tried again until its attempts are used up. The attempt too is given back, but only where the function never ran. A call
that failed by itself has ended, unless its route asks for retries. A sync
call is given back only then; one that may have run has ended, whatever went wrong.
"""

import asyncio
from random import random
from typing import Protocol

from msgspec import Struct

from common.errors import EngineUnavailableError, StoreUnavailableError, UnavailableError
from common.models import CallStatus, Detail, Outcome
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.containers.driver import ContainerDriver, FailedForNowError, RefusedError
from worker.formats import HOT
from worker.outcomes import cancelled_before_start, interrupted, interruption, refused
from worker.recorder import Recorder
from worker.runs import Run, StoppedError, Verdict

RETRY_FIRST_MS = 1_000
RETRY_MAX_MS = 60_000

log = get_logger("executor")


class GiveBack(Struct, frozen=True, kw_only=True):
    """A run without an outcome: the call returns to the queue."""

    delay_ms: int
    give_back_attempt: bool
    failed: Outcome | None = None  # how the attempt ended
    has_log: bool = False  # the function ran to that end: its log is kept


class Runner(Protocol):
    """How a call is run."""

    async def run(self, run: Run) -> Outcome:
        """Run it to its end. Raises StoppedError, RefusedError, UnavailableError. Safe to cancel."""
        ...

    async def clean_up(self, run: Run) -> None:
        """Undo what the run left, whatever became of it. Bounded; raises nothing."""
        ...


class Executor:
    """Runs claimed calls."""

    def __init__(
        self, recorder: Recorder, driver: ContainerDriver, cold: Runner, hot: Runner, max_attempts: int
    ) -> None:
        self._recorder = recorder
        self._driver = driver
        self._cold = cold
        self._hot = hot
        self._max_attempts = max_attempts

    async def execute(self, run: Run) -> None:
        """Return when the call is recorded or given back and its container is gone. Raises nothing but CancelledError.

        Cancelled only when the process goes down in disorder: the container is removed then, the lease expires.
        """
        runner = self._hot if run.call.format in HOT else self._cold
        try:
            ending = await self._run(run, runner)
            run.has_ended = True
            await self._conclude(run, runner, ending)
        except asyncio.CancelledError:
            await runner.clean_up(run)
            raise
        except Exception:  # its lease expires, and the call runs again if it may
            log.exception("call can't be concluded", call_id=run.call.id)

    async def _run(self, run: Run, runner: Runner) -> Outcome | GiveBack | None:
        try:
            return _or_retry(run, await runner.run(run))
        except StoppedError:
            return _stopped(run)
        except RefusedError as error:
            log.warning("call refused", call_id=run.call.id, detail=error.detail, cause=cause_of(error))
            if run.may_have_run and error.detail is Detail.INIT_TIMEOUT:
                return interrupted()  # its start was under way: nobody knows whether it began
            return _or_retry(run, refused(error))
        except UnavailableError as error:
            failed = interruption(error)
            log.warning("call interrupted", call_id=run.call.id, detail=failed.detail, cause=cause_of(error))
            never_ran = not run.may_have_run and not await self._is_own_trouble(error)
            if isinstance(error, FailedForNowError) and not never_ran and self._is_last_attempt(run):
                return failed  # given back, it would be too many attempts: the reason would be lost
            return _given_back(run, never_ran=never_ran, failed=failed)
        except Exception:  # the outermost guard: one call's bug must not end the others
            log.exception("call failed in the worker", call_id=run.call.id)
            return _given_back(run, never_ran=False)

    def _is_last_attempt(self, run: Run) -> bool:
        return run.is_sync or run.call.attempt >= max(self._max_attempts, run.call.retry.max_attempts)

    async def _is_own_trouble(self, error: UnavailableError) -> bool:
        """Whether trouble may lie with this call: an engine that is well otherwise fails on it."""
        if isinstance(error, StoreUnavailableError):
            return False
        try:
            await self._driver.check()
        except EngineUnavailableError:
            return False
        return True

    async def _conclude(self, run: Run, runner: Runner, ending: Outcome | GiveBack | None) -> None:
        if isinstance(ending, Outcome):
            await asyncio.gather(self._record(run, ending), runner.clean_up(run))
            return
        await runner.clean_up(run)  # first: another attempt may begin as soon as the call is given back
        if ending is not None:
            await self._give_back(run, ending)

    async def _record(self, run: Run, outcome: Outcome) -> None:
        try:
            await self._recorder.record(run, outcome)
        except Exception:
            log.exception("outcome can't be recorded", call_id=run.call.id)
            await self._give_back(run, _retry(run))

    async def _give_back(self, run: Run, ending: GiveBack) -> None:
        log.info("call given back", call_id=run.call.id, attempt=run.call.attempt, delay_ms=ending.delay_ms)
        if ending.failed is not None and ending.has_log:
            await self._recorder.keep_log(run, ending.failed)
        await self._recorder.give_back(
            run,
            delay_ms=ending.delay_ms,
            give_back_attempt=ending.give_back_attempt,
            failed=ending.failed,
        )


def _or_retry(run: Run, outcome: Outcome) -> Outcome | GiveBack:
    """A failed async call may be worth another attempt: its route says so."""
    if run.is_sync or outcome.status is not CallStatus.ERROR:
        return outcome
    delay_ms = run.call.retry.delay_ms(outcome.reason, run.call.attempt, random())  # noqa: S311 - no secret
    if delay_ms is None:
        return outcome
    log.info("call failed, to be retried", call_id=run.call.id, reason=outcome.reason, detail=outcome.detail)
    return GiveBack(delay_ms=delay_ms, give_back_attempt=False, failed=outcome, has_log=True)


def _stopped(run: Run) -> Outcome | GiveBack | None:
    """What a verdict means for a call whose outcome it does not settle by itself."""
    if run.verdict is Verdict.CANCELLED:
        return cancelled_before_start()
    if run.verdict is Verdict.LOST:
        log.warning("run ended: another may own the call", call_id=run.call.id)
        return None
    if run.verdict is Verdict.DRAINED and not (run.is_sync and run.may_have_run):
        return GiveBack(delay_ms=0, give_back_attempt=True)
    return _given_back(run, never_ran=False)


def _given_back(run: Run, *, never_ran: bool, failed: Outcome | None = None) -> Outcome | GiveBack:
    """What platform trouble means. A call that never ran loses nothing by it."""
    if never_ran:
        return GiveBack(delay_ms=RETRY_FIRST_MS, give_back_attempt=True, failed=failed)
    return interrupted() if run.is_sync else _retry(run, failed)


def _retry(run: Run, failed: Outcome | None = None) -> GiveBack:
    """Another attempt, after a wait that doubles with each."""
    doubled = RETRY_FIRST_MS * 2 ** min(run.call.attempt, 10)
    return GiveBack(delay_ms=min(doubled, RETRY_MAX_MS), give_back_attempt=False, failed=failed)
