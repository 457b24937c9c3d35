"""The ends that the api itself gives to sync calls: those that no worker ran, or whose worker is no longer there."""

from datetime import UTC, datetime

from common.errors import CallTimeoutError, CallTimeoutServerBusyError
from common.models import CallStatus, Detail, Outcome, Reason


def no_capacity() -> Outcome:
    """No worker took it in time."""
    return _error(Reason.KILLED, Detail.NO_CAPACITY, CallTimeoutServerBusyError.default_message)


def worker_lost() -> Outcome:
    """A worker had it and ended, or lost its lease. Nobody knows how far the function came."""
    return _error(Reason.KILLED, Detail.WORKER_LOST, "The worker that ran the call was lost")


def no_answer() -> Outcome:
    """Nothing was heard of it for longer than everything may take."""
    return _error(Reason.TIMEOUT, Detail.RUN_TIMEOUT, CallTimeoutError.default_message)


def caller_gone() -> Outcome:
    """Its caller went away before it ran."""
    return Outcome(status=CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST, completed_at=datetime.now(UTC))


def _error(reason: Reason, detail: Detail, error: str) -> Outcome:
    return Outcome(
        status=CallStatus.ERROR, reason=reason, detail=detail, error=error, completed_at=datetime.now(UTC)
    )
