"""The ends that the api itself gives to sync calls: those that no worker ran, and those of which it hears no more.

The two never share an end: whoever is told that nothing ran may ask again.
"""

from datetime import UTC, datetime

from common.errors import (
    CallTimeoutError,
    CallTimeoutServerBusyError,
    QueuePausedError,
    ShuttingDownError,
)
from common.models import CallStatus, Detail, Outcome, Reason

API_ENDED = "The api process ended before the call did: the call goes on, and its record says how it ends"
PUSH_UNCONFIRMED = "The queue did not confirm the call: it may have run"


def no_capacity() -> Outcome:
    """No worker took it in time."""
    return _error(Reason.KILLED, Detail.NO_CAPACITY, CallTimeoutServerBusyError.default_message)


def queue_paused() -> Outcome:
    """No worker had taken it when the queue was paused."""
    return _error(Reason.KILLED, Detail.QUEUE_PAUSED, QueuePausedError.default_message)


def shutting_down() -> Outcome:
    """No worker had taken it when this process ended, and none will."""
    return _error(Reason.KILLED, Detail.SHUTTING_DOWN, ShuttingDownError.default_message)


def api_ended() -> Outcome:
    """This process ended while a worker had it. For its caller only: the call goes on, and its worker records it."""
    return _error(Reason.KILLED, Detail.API_ENDED, API_ENDED)


def push_unconfirmed() -> Outcome:
    """Redis did not say whether it took the call, nor what became of it."""
    return _error(Reason.KILLED, Detail.PUSH_UNCONFIRMED, PUSH_UNCONFIRMED)


def worker_lost() -> Outcome:
    """A worker had it and ended, or lost its lease. Nobody knows how far the function came."""
    return _error(Reason.KILLED, Detail.WORKER_LOST, "The worker that ran the call was lost")


def no_answer() -> Outcome:
    """Nothing was heard of it for longer than everything may take."""
    return _error(Reason.TIMEOUT, Detail.NO_ANSWER, CallTimeoutError.default_message)


def caller_gone() -> Outcome:
    """Its caller went away before it ran."""
    return Outcome(status=CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST, completed_at=datetime.now(UTC))


def _error(reason: Reason, detail: Detail, error: str) -> Outcome:
    return Outcome(
        status=CallStatus.ERROR, reason=reason, detail=detail, error=error, completed_at=datetime.now(UTC)
    )
