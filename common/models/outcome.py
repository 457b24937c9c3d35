"""Outcome: how a run ended. Function trouble is a value, never an exception.

``reason`` is one of the three of the contract; ``Detail`` says more, in codes that are stable and machine-readable.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from common.models.call import CallStatus, Reason
from common.models.route import Headers
from common.models.stats import CallStats


class Detail(StrEnum):
    """Finer reasons. The first four and ``api_ended`` go with functions that ran to their end, or to a limit.

    Of a sync call, ``no_capacity``, ``init_timeout``, ``queue_paused`` and ``shutting_down`` say that its function was
    never started. With ``worker_lost``, ``no_answer`` and ``push_unconfirmed`` it may have run.
    """

    EXIT_CODE = "exit_code"
    OOM_KILLED = "oom_killed"
    DISK_EXCEEDED = "disk_exceeded"  # of a route with a writable root
    RUN_TIMEOUT = "run_timeout"
    RESPONSE_TOO_LARGE = "response_too_large"
    IMAGE_NOT_FOUND = "image_not_found"
    IMAGE_NOT_ALLOWED = (
        "image_not_allowed"  # by MILLRACE_REGISTRIES, MILLRACE_LOCAL_IMAGES, MILLRACE_IMAGE_MAX_MB
    )
    PULL_DENIED = "pull_denied"
    PULL_FAILED = "pull_failed"
    REGISTRY_UNKNOWN = "registry_unknown"  # no such host
    REGISTRY_UNREACHABLE = "registry_unreachable"  # refused, no way to it, or not its protocol
    REGISTRY_TIMEOUT = "registry_timeout"
    START_FAILED = "start_failed"  # the engine could not
    START_REFUSED = "start_refused"  # the image asks for what can't be: it will never start
    NETWORK_NOT_ALLOWED = "network_not_allowed"
    SIGNALLED = "signalled"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    NO_CAPACITY = "no_capacity"
    INIT_TIMEOUT = "init_timeout"
    BAD_RESPONSE = "bad_response"
    WORKER_LOST = "worker_lost"
    EXPIRED = "expired"
    QUEUE_PAUSED = "queue_paused"
    SHUTTING_DOWN = "shutting_down"  # its api ended before a worker had taken it
    API_ENDED = (
        "api_ended"  # its api ended while it ran: it ended as the record says, its caller never heard of that
    )
    NO_ANSWER = "no_answer"
    PUSH_UNCONFIRMED = "push_unconfirmed"
    RESULT_NOT_STORED = "result_not_stored"  # of async calls: it was too large for the way to Postgres


# When which part of a log came: its first byte, and Unix ms. In order.
LogMarks = tuple[tuple[int, int], ...]


class Outcome(Struct, frozen=True, kw_only=True):
    """A finished run: final status and why, what it printed (result: stdout, log: stderr), what it used.

    ``started_at`` is when execution began; None if it never did. ``result`` is kept for every status. A hot function
    says itself with which HTTP status and headers it answers. ``cold``: whether a container was started for this call.
    """

    status: CallStatus
    reason: Reason | None = None
    detail: str = ""
    error: str = ""
    exit_code: int | None = None
    result: bytes = b""
    response_status: int = 200
    response_headers: Headers = {}
    cold: bool | None = None
    log: bytes = b""
    log_marks: LogMarks = ()
    stats: CallStats = ()
    started_at: datetime | None = None
    completed_at: datetime
