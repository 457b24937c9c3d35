"""From how a run ended to its Outcome: the one place that decides status, reason, detail and error text. Pure.

Error texts are for callers: Fn v1's words where it has any, and never what the engine said.
"""

from datetime import UTC, datetime

from msgspec import Struct

from common.models import Call, CallStats, CallStatus, Detail, Outcome, Reason
from worker.containers.driver import FailedForNowError, RefusedError
from worker.formats.base import Capture
from worker.runs import Verdict

TIMED_OUT = "Timed out"
OUT_OF_MEMORY = "container out of memory, you may want to raise route.memory for this route (default: 128MB)"
SIGNALLED = "container was killed"
SIGKILL_EXIT_CODE = 137


class Ended(Struct, frozen=True, kw_only=True):
    """How a container's run ended: by itself with an exit code, or killed by us for *verdict*."""

    verdict: Verdict | None
    exit_code: int | None
    oom_killed: bool
    capture: Capture
    stats: CallStats
    started_at: datetime
    completed_at: datetime


class _Judgement(Struct, frozen=True):
    status: CallStatus
    reason: Reason | None = None
    detail: str = ""
    error: str = ""


_CANCELLED = _Judgement(CallStatus.CANCELLED, Reason.CLIENT_REQUEST)


def judge(ended: Ended, result_max_bytes: int) -> Outcome:
    """The outcome of a run that was not lost, drained or broken."""
    judgement = _judge(ended, result_max_bytes)
    return Outcome(
        status=judgement.status,
        reason=judgement.reason,
        detail=judgement.detail,
        error=judgement.error,
        exit_code=ended.exit_code,
        result=ended.capture.result.value(),
        log=ended.capture.log.value(),
        stats=ended.stats,
        started_at=ended.started_at,
        completed_at=ended.completed_at,
    )


def _judge(ended: Ended, result_max_bytes: int) -> _Judgement:
    error = CallStatus.ERROR
    if ended.verdict is Verdict.TIMED_OUT:
        return _Judgement(error, Reason.TIMEOUT, Detail.RUN_TIMEOUT, TIMED_OUT)
    if ended.verdict is Verdict.CANCELLED:
        return _CANCELLED
    if ended.capture.result.overflowed:
        text = f"response is larger than {result_max_bytes} bytes"
        return _Judgement(error, Reason.KILLED, Detail.RESPONSE_TOO_LARGE, text)
    if ended.exit_code == 0:
        return _Judgement(CallStatus.SUCCESS)
    if ended.oom_killed:
        return _Judgement(error, Reason.KILLED, Detail.OOM_KILLED, OUT_OF_MEMORY)
    if ended.exit_code == SIGKILL_EXIT_CODE:
        return _Judgement(error, Reason.KILLED, Detail.SIGNALLED, SIGNALLED)
    return _Judgement(error, Reason.BAD_EXIT, Detail.EXIT_CODE, f"container exit code {ended.exit_code}")


def refused(error: RefusedError | FailedForNowError) -> Outcome:
    """The outcome of a call whose function never ran, because the engine won't run it, or could not too often."""
    return Outcome(
        status=CallStatus.ERROR,
        reason=Reason.KILLED,
        detail=error.detail,
        error=error.error,
        completed_at=datetime.now(UTC),
    )


def cancelled_before_start() -> Outcome:
    """The outcome of a call that was cancelled before its function ran."""
    return Outcome(status=CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST, completed_at=datetime.now(UTC))


def settled_by_claim(call: Call) -> Outcome:
    """What the claim itself recorded of a call that must not run any more (cancelled, out of attempts)."""
    return Outcome(
        status=call.status,
        reason=call.reason,
        detail=call.detail,
        error=call.error,
        completed_at=call.completed_at or datetime.now(UTC),
    )
