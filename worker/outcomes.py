"""From how a run ended to its Outcome: the one place that decides status, reason, detail and error text. Pure.

Error texts are Fn v1's words where it has any. The engine's words are in those of refused starts only.
"""

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from common.errors import UnavailableError
from common.models import Call, CallStats, CallStatus, Detail, Outcome, Reason
from worker.containers.driver import FailedForNowError, RefusedError
from worker.containers.hot import ContainerExitedError, SlotError
from worker.formats.base import BadResponseError, Capture, Response, ResponseTooLargeError
from worker.runs import Verdict

TIMED_OUT = "Timed out"
OUT_OF_MEMORY = "container out of memory, you may want to raise route.memory for this route (now: {}MB)"
WROTE_TOO_MUCH = "container wrote more to its root than MILLRACE_WRITABLE_ROOT_MB allows"
SIGNALLED = "container was killed"
LOG_LINES, LOG_CHARS = 3, 512  # of the end of a log, in the error of a function that exits
INTERRUPTED = "The worker could not bring the call to its end; a sync call is not run twice"
UNHEARD = "The api that waited for the answer had ended: the caller did not get it"
SIGKILL_EXIT_CODE = 137


class Ended(Struct, frozen=True, kw_only=True):
    """How a container's run ended: by itself with an exit code, or killed by us for *verdict*."""

    verdict: Verdict | None
    exit_code: int | None
    oom_killed: bool
    memory_mb: int
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
_TIMED_OUT = _Judgement(CallStatus.ERROR, Reason.TIMEOUT, Detail.RUN_TIMEOUT, TIMED_OUT)
_WROTE_TOO_MUCH = _Judgement(CallStatus.ERROR, Reason.KILLED, Detail.DISK_EXCEEDED, WROTE_TOO_MUCH)


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
        cold=True,
        log=ended.capture.log.value(),
        log_marks=ended.capture.log.marks(),
        stats=ended.stats,
        started_at=ended.started_at,
        completed_at=ended.completed_at,
    )


def _judge(ended: Ended, result_max_bytes: int) -> _Judgement:
    if ended.verdict is Verdict.TIMED_OUT:
        return _TIMED_OUT
    if ended.verdict is Verdict.CANCELLED:
        return _CANCELLED
    if ended.verdict is Verdict.WROTE_TOO_MUCH:
        return _WROTE_TOO_MUCH
    if ended.capture.result.overflowed:
        text = f"response is larger than {result_max_bytes} bytes"
        return _Judgement(CallStatus.ERROR, Reason.KILLED, Detail.RESPONSE_TOO_LARGE, text)
    if ended.exit_code == 0:
        return _Judgement(CallStatus.SUCCESS)
    return _judge_exit(ended.exit_code, ended.memory_mb, oom_killed=ended.oom_killed)


def _judge_exit(exit_code: int | None, memory_mb: int, *, oom_killed: bool) -> _Judgement:
    """Of a container that ended in a way that is no success; for a hot one in mid-call that is any way."""
    error = CallStatus.ERROR
    if oom_killed:
        return _Judgement(error, Reason.KILLED, Detail.OOM_KILLED, OUT_OF_MEMORY.format(memory_mb))
    if exit_code == SIGKILL_EXIT_CODE:
        return _Judgement(error, Reason.KILLED, Detail.SIGNALLED, SIGNALLED)
    return _Judgement(error, Reason.BAD_EXIT, Detail.EXIT_CODE, f"container exit code {exit_code}")


class Spoken(Struct, frozen=True, kw_only=True):
    """How an exchange with a hot container ended: what was answered, how that failed, or the verdict that ended it."""

    verdict: Verdict | None
    answer: Response | BadResponseError | SlotError | None
    stats: CallStats
    started_at: datetime
    completed_at: datetime
    cold: bool
    memory_mb: int


def judge_spoken(spoken: Spoken) -> Outcome:
    """The outcome of an exchange that was not lost, drained or broken; without its log."""
    judgement = _judge_spoken(spoken)
    response = spoken.answer if isinstance(spoken.answer, Response) else None
    return Outcome(
        status=judgement.status,
        reason=judgement.reason,
        detail=judgement.detail,
        error=judgement.error,
        exit_code=getattr(spoken.answer, "exit_code", None),
        result=response.body if response else b"",
        response_status=response.status if response else 200,
        response_headers=response.headers if response else {},
        cold=spoken.cold,
        stats=spoken.stats,
        started_at=spoken.started_at,
        completed_at=spoken.completed_at,
    )


def _judge_spoken(spoken: Spoken) -> _Judgement:
    answer = spoken.answer
    if spoken.verdict is Verdict.WROTE_TOO_MUCH:
        return _WROTE_TOO_MUCH
    if isinstance(answer, Response):
        return _Judgement(CallStatus.SUCCESS)
    if isinstance(answer, ContainerExitedError):
        return _judge_exit(answer.exit_code, spoken.memory_mb, oom_killed=answer.oom_killed)
    if isinstance(answer, ResponseTooLargeError):
        return _Judgement(CallStatus.ERROR, Reason.KILLED, Detail.RESPONSE_TOO_LARGE, str(answer))
    if isinstance(answer, BadResponseError | SlotError):
        return _Judgement(CallStatus.ERROR, Reason.KILLED, Detail.BAD_RESPONSE, f"bad response: {answer}")
    return _CANCELLED if spoken.verdict is Verdict.CANCELLED else _TIMED_OUT


def interrupted() -> Outcome:
    """The outcome of a sync call that this worker can't bring to its end, and that must not be run a second time."""
    return Outcome(
        status=CallStatus.ERROR,
        reason=Reason.KILLED,
        detail=Detail.WORKER_LOST,
        error=INTERRUPTED,
        completed_at=datetime.now(UTC),
    )


def unheard(outcome: Outcome) -> Outcome:
    """The outcome of a sync call that ended by itself when its api had ended: its caller did not get the answer."""
    return replace(outcome, detail=outcome.detail or Detail.API_ENDED, error=outcome.error or UNHEARD)


def refused(error: RefusedError | FailedForNowError) -> Outcome:
    """The outcome of a call whose function never ran, because the engine won't run it, or could not too often."""
    return Outcome(
        status=CallStatus.ERROR,
        reason=Reason.TIMEOUT if error.detail is Detail.INIT_TIMEOUT else Reason.KILLED,
        detail=error.detail,
        error=error.error,
        completed_at=datetime.now(UTC),
    )


def interruption(error: UnavailableError) -> Outcome:
    """How an attempt ended that the platform broke off: what a call shows while it waits for the next one."""
    if isinstance(error, FailedForNowError):
        return refused(error)
    return Outcome(
        status=CallStatus.ERROR,
        reason=Reason.KILLED,
        detail=error.slug,
        error=str(error),
        completed_at=datetime.now(UTC),
    )


def with_end_of_log(outcome: Outcome) -> Outcome:
    """*outcome* with the end of the log in its error, if its function exited by itself. For the record only.

    The caller of a sync call gets the error without it: a log is for those who may read it.
    """
    if outcome.detail != Detail.EXIT_CODE:
        return outcome
    lines = [line.strip() for line in outcome.log[-4 * LOG_CHARS :].decode(errors="replace").splitlines()]
    text = " | ".join([line for line in lines if line][-LOG_LINES:])
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)[-LOG_CHARS:]
    return replace(outcome, error=f"{outcome.error}; the log ends with: {text}") if text else outcome


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
