"""The Steering contract: a part of Datastore. Ends calls that nobody wants any more, makes new calls of old ones, shows
who runs what and how many calls there are. Each change is one statement that compares and sets: asked for twice, it is
done once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from common.models import Call, QueueEntry


class Retried(Struct, frozen=True, kw_only=True):
    """A call that came from an ended one: ``entry`` is for the queue."""

    parent_id: UUID
    entry: QueueEntry


class FoundDead(Struct, frozen=True, kw_only=True):
    """A dead call, and what is stored of it: payload, result and log."""

    id: UUID
    stored_bytes: int


class RunningCall(Struct, frozen=True, kw_only=True):
    """What a worker runs. ``started_at``: when execution began; None if that is not yet so, or not yet for a second."""

    id: UUID
    app_name: str
    path: str
    attempt: int
    claimed_at: datetime | None
    started_at: datetime | None


class KnownWorker(Struct, frozen=True, kw_only=True):
    """An incarnation, and the async calls that it runs (sync ones have no row yet).

    ``state``: ``live``; ``draining``, it takes no more calls; ``late``, heartbeats are missing; ``lost``, its heartbeat
    is stale, so its calls run elsewhere. ``memory_problem``: see MemoryShare. ``network`` and
    ``network_problem``: see WorkerNetwork.
    """

    incarnation: UUID
    host: str
    slots: int
    memory_mb: int
    memory_problem: str
    network: str
    network_problem: str
    started_at: datetime
    heartbeat_at: datetime
    state: str
    running: tuple[RunningCall, ...] = ()


class Counts(Struct, frozen=True, kw_only=True):
    """How many calls wait (delayed ones too), run, succeeded, failed, were cancelled."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class CallCounts(Struct, frozen=True, kw_only=True):
    """The stored calls of all, and of each path of each app."""

    all: Counts
    by_path: dict[tuple[str, str], Counts]


class Steering(Protocol):
    """What clients and operators do to calls after they were accepted."""

    async def cancel(self, app_name: str, call_id: UUID) -> Call:
        """End a waiting call at once; note of a running one that its end was asked for. Again changes nothing.

        The queue has still to be told. Raises DatastoreEmptyAppNameError, CallNotFoundError, CallIsFinalError.
        """
        ...

    async def settle_cancelled(self, limit: int) -> list[UUID]:
        """End at most *limit* running calls whose end was asked for and whose worker is not live; return which."""
        ...

    async def retry(self, app_name: str, call_id: UUID, new_id: UUID) -> QueueEntry:
        """Store a new call, *new_id*, with the inputs, revision, priority and time limit of one that ended; no delay.

        A dead call is dead no longer then. Raises DatastoreEmptyAppNameError, CallNotFoundError, CallNotFinalError,
        AppsBeingRemovedError, and CallNotRetriableError for one without stored inputs.
        """
        ...

    async def requeue_dead(self, ids: Sequence[UUID], new_ids: Sequence[UUID]) -> list[Retried]:
        """Retry those of *ids* that are dead, each as the new id at its place; all of it, or nothing.

        Dead: given up after too many attempts, and not retried or requeued. Others are left out of the answer, as are
        those of an app that is being removed.
        """
        ...

    async def get_dead(self, app_name: str, cursor: UUID | None, per_page: int) -> list[Call]:
        """Dead calls, newest first, of the app or of all if it is empty; those before *cursor*."""
        ...

    async def count_dead(self) -> int:
        """How many calls are dead: given up, and neither requeued nor purged."""
        ...

    async def find_dead(self, app_name: str, limit: int) -> list[FoundDead]:
        """The oldest dead calls of the app, or of all if it is empty."""
        ...

    async def find_dead_of(self, ids: Sequence[UUID]) -> list[FoundDead]:
        """Those of *ids* that are dead, oldest first, each once."""
        ...

    async def purge_dead(self, ids: Sequence[UUID]) -> int:
        """Delete those of *ids* that are dead, with inputs, results and logs; return how many."""
        ...

    async def get_workers(self, limit: int, running_limit: int) -> list[KnownWorker]:
        """Incarnations, live ones first, each with at most *running_limit* of the calls it runs, oldest claim first."""
        ...

    async def count_calls(self, limit: int) -> CallCounts:
        """Count all stored calls, by path for at most *limit* paths. Reads them all: may take a minute, ask seldom."""
        ...
