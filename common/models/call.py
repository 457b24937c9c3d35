"""Call: one requested execution of a route, its states, and who may follow whom.

::

     delayed ──due──▶ queued ──reserve+claim──▶ running ──▶ success
        │               ▲  │                       │  ├───▶ error      reason: timeout | killed | bad_exit
        │               │  └──────── retry ◀───────┘  └───▶ cancelled  reason: client_request
        └── cancel ─────┴── cancel ──▶ cancelled

Nobody writes delayed → queued: a delayed call whose ``due_at`` has passed *is* queued (the store shows it so, and a
claim accepts both). queued → error and delayed → error are for calls given up before they could be claimed.
This module knows the transitions; it moves nothing itself.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from common.errors import (
    DatastoreCannotUpdateCallError,
    InvalidDelayError,
    InvalidPriorityError,
    InvalidTimeoutError,
)
from common.models.retry import RetryPolicy
from common.models.route import BODY_TEXT, FRAMING_UNIVERSAL, MAX_ASYNC_TIMEOUT, Headers
from common.models.stats import CallStats

MAX_PRIORITY = 2
MAX_DELAY_S = 30 * 24 * 3600


class CallStatus(StrEnum):
    """Where a call is in its life."""

    DELAYED = "delayed"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


class Reason(StrEnum):
    """Why a call is in its state: the first three go with ``error``, the last with ``cancelled``."""

    TIMEOUT = "timeout"
    KILLED = "killed"
    BAD_EXIT = "bad_exit"
    CLIENT_REQUEST = "client_request"


TRANSITIONS: dict[CallStatus, frozenset[CallStatus]] = {
    CallStatus.DELAYED: frozenset(
        {CallStatus.QUEUED, CallStatus.RUNNING, CallStatus.CANCELLED, CallStatus.ERROR},
    ),
    CallStatus.QUEUED: frozenset({CallStatus.RUNNING, CallStatus.CANCELLED, CallStatus.ERROR}),
    # running → delayed waits for another attempt.
    # running → running is a redelivery: a newer reservation took the call over, attempt + 1.
    CallStatus.RUNNING: frozenset(
        {
            CallStatus.RUNNING,
            CallStatus.QUEUED,
            CallStatus.DELAYED,
            CallStatus.SUCCESS,
            CallStatus.ERROR,
            CallStatus.CANCELLED,
        },
    ),
    CallStatus.SUCCESS: frozenset(),
    CallStatus.ERROR: frozenset(),
    CallStatus.CANCELLED: frozenset(),
}

_REASONS: dict[CallStatus, frozenset[Reason]] = {
    CallStatus.ERROR: frozenset({Reason.TIMEOUT, Reason.KILLED, Reason.BAD_EXIT}),
    CallStatus.CANCELLED: frozenset({Reason.CLIENT_REQUEST}),
}


class Call(Struct, frozen=True, kw_only=True):
    """A specific invocation of a route. The first block is the followed package page's, with its JSON names.

    ``delay``, ``timeout`` and ``idle_timeout`` in seconds, ``memory`` in MB, ``payload`` as the bytes that came.
    Fields that describe the container are filled from the route revision when a worker claims the call; so is
    ``timeout``, unless the call has one of its own.
    ``parent_id``: the call that this one is a retry or a requeue of. ``last_detail`` and ``last_error``: how its last
    attempt ended, if that was given back to be tried again.
    """

    id: UUID
    status: CallStatus = CallStatus.QUEUED
    app_name: str = ""
    path: str = ""
    image: str = ""
    delay: int = 0
    type: str = ""
    format: str = ""
    payload: bytes | None = None
    url: str = ""
    method: str = ""
    priority: int = 0
    timeout: int = 0
    idle_timeout: int = 0
    memory: int = 0
    base_env: dict[str, str] = {}
    env_vars: dict[str, str] = {}
    completed_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    stats: CallStats = ()
    error: str = ""

    reason: Reason | None = None
    detail: str = ""
    exit_code: int | None = None
    attempt: int = 0
    headers: Headers = {}
    route_revision: bytes = b""
    writable_root: bool = False
    json_framing: str = FRAMING_UNIVERSAL
    body_encoding: str = BODY_TEXT
    network: str = ""
    retry: RetryPolicy = RetryPolicy()
    cold: bool | None = None
    due_at: datetime | None = None
    claimed_at: datetime | None = None
    parent_id: UUID | None = None
    last_detail: str = ""
    last_error: str = ""

    def validate(self) -> None:
        """Raise for a priority, delay or timeout out of range, or a reason that does not go with the status."""
        if not 0 <= self.priority <= MAX_PRIORITY:
            raise InvalidPriorityError(field="priority")
        if not 0 <= self.delay <= MAX_DELAY_S:
            raise InvalidDelayError(field="delay")
        if not 0 <= self.timeout <= MAX_ASYNC_TIMEOUT:
            raise InvalidTimeoutError(field="timeout")
        check_reason(self.status, self.reason)


class CallFilter(Struct, frozen=True, kw_only=True):
    """Which calls to list, newest first. Times bound ``created_at`` exclusively; ``cursor``: ids before this one.

    ``statuses``: those that are shown now, so a due delayed call is queued; without any, calls of all.
    """

    app_name: str = ""
    path: str = ""
    statuses: tuple[CallStatus, ...] = ()
    from_time: datetime | None = None
    to_time: datetime | None = None
    cursor: UUID | None = None
    per_page: int = 30


class SyncTicket(Struct, frozen=True, kw_only=True):
    """What makes a queued call a sync one: who waits for its reply, for how long, and the call itself.

    ``ttl_ms``: how long it may wait for a worker; what is left of that, in a reservation. ``message``: see sync.py.
    """

    reply_to: UUID
    ttl_ms: int
    message: bytes


class QueueEntry(Struct, frozen=True, kw_only=True):
    """What the queue needs to know of a call: its place, its priority, the delay still left, what it weighs.

    One with a ticket is a sync call: it stands before every priority, in the order of the pushes, whatever its
    ``order_no``, ``priority`` and ``delay_ms``.
    """

    id: UUID
    order_no: int
    priority: int
    delay_ms: int
    memory_mb: int
    ticket: SyncTicket | None = None


def check_transition(old: CallStatus, new: CallStatus) -> None:
    """Raise DatastoreCannotUpdateCallError unless *new* may follow *old*. Keeping the status is no transition."""
    if old != new and new not in TRANSITIONS[old]:
        raise DatastoreCannotUpdateCallError(f"Call can't go from {old} to {new}", field="status")


def check_reason(status: CallStatus, reason: Reason | None) -> None:
    """Raise DatastoreCannotUpdateCallError for a reason that does not go with the status."""
    if reason is not None and reason not in _REASONS.get(status, frozenset()):
        raise DatastoreCannotUpdateCallError(f"Reason {reason} does not go with {status}", field="reason")
