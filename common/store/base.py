"""The Datastore and LogStore contracts; postgres.py is the one implementation.

Postgres is the record: a call is accepted when its row is committed. Every status change is a compare-and-set on
(id, status, token): a worker whose token is no longer the row's can't settle the call. Writes that many rows share
take lists and lock in id order. Every method raises StoreUnavailableError when Postgres can't be reached in time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from asyncpg import Pool
from msgspec import Struct

from common.models import (
    App,
    AppFilter,
    Call,
    CallFilter,
    Headers,
    LogMarks,
    Outcome,
    QueueEntry,
    Route,
    RouteFilter,
    RouteRevision,
    Token,
)
from common.store.machine import MemoryShare, MemoryUse
from common.store.steering import Steering
from common.store.upkeep import Upkeep


class IdempotencyKey(Struct, frozen=True, kw_only=True):
    """A client's word for one request of an app, and a hash of all that makes it this request."""

    key: str
    request_hash: bytes


class Submission(Struct, frozen=True, kw_only=True):
    """A call to be stored; with a key, unless the key came before. ``revision``: what the call refers to."""

    call: Call
    key: IdempotencyKey | None = None
    revision: RouteRevision | None = None


class EarlierCall(Struct, frozen=True, kw_only=True):
    """The call that a submission's key came with first. ``is_same``: the request of then was the same."""

    id: UUID
    is_same: bool


class WorkerNetwork(Struct, frozen=True, kw_only=True):
    """What a worker's functions reach.

    ``state``: ``none`` (they have no network), ``guarded`` (firewall rules keep them from the machine), ``open``, or
    empty if that is not known. ``problem``: why it is open.
    """

    state: str = ""
    problem: str = ""


UNKNOWN_NETWORK = WorkerNetwork()


class ClaimRequest(Struct, frozen=True, kw_only=True):
    """A reserved call to claim, with the token of its reservation."""

    id: UUID
    token: int


class Claimed(Struct, frozen=True, kw_only=True):
    """A claimed call. Status running: run it. Final: the claim itself settled it (cancelled, out of attempts).

    ``call.payload`` is None where it is large: fetch it with get_payload when the slot is granted.
    """

    call: Call
    token: int


class Settlement(Struct, frozen=True, kw_only=True):
    """The end of a run, to be recorded by the holder of *token*."""

    id: UUID
    token: int
    outcome: Outcome


class FinishedCall(Struct, frozen=True, kw_only=True):
    """A sync call that has ended, or that no worker ran: it is stored only now. ``call`` says what came before."""

    call: Call
    outcome: Outcome


class CallResult(Struct, frozen=True, kw_only=True):
    """What a finished call answered: its function's status and headers, and the body. ``format`` is its route's."""

    status: int
    headers: Headers
    body: bytes
    format: str


class RemovedCalls(Struct, frozen=True, kw_only=True):
    """Calls of an app that are gone: ``unfinished`` are those that had not ended, for the queue to forget.

    ``last``: the next page begins behind this id; None if there is none.
    """

    unfinished: list[UUID]
    last: UUID | None


class LogChunk(Struct, frozen=True, kw_only=True):
    """More of the log of a call that runs under *token*: from its byte ``first`` on, with the marks up to its end."""

    id: UUID
    token: int
    first: int
    chunk: bytes
    marks: LogMarks


class LogPart(Struct, frozen=True, kw_only=True):
    """Part of a call's log, and whether the call was final when it was read: then no more comes.

    ``begun_at_ms``: when the log's first byte came, None for an empty one. Another instant means another log: that of
    another attempt, which has taken its place.
    """

    chunk: bytes
    begun_at_ms: int | None
    is_final: bool


class LogStore(Protocol):
    """What calls printed on stderr, as the bytes they were."""

    async def insert_log(self, app_name: str, call_id: UUID, log: bytes) -> None:
        """Keep *log* for the call, overwriting any log it had."""
        ...

    async def get_log(self, app_name: str, call_id: UUID) -> bytes:
        """The call's log. Raises CallLogNotFoundError if it has none."""
        ...

    async def get_log_marks(self, app_name: str, call_id: UUID) -> LogMarks:
        """When which part of the call's log came, in order; empty where that was not noted."""
        ...

    async def get_log_part(self, app_name: str, call_id: UUID, first: int, max_bytes: int) -> LogPart:
        """What is there of the call's log from byte *first* on, while it runs, too. Raises CallNotFoundError."""
        ...


class TokenStore(Protocol):
    """Who may ask."""

    async def get_tokens(self) -> list[Token]:
        """All tokens, the oldest first; never more than MAX_TOKENS."""
        ...

    async def insert_token(self, token: Token, *, only_as_first: bool = False) -> Token:
        """Keep the token. *only_as_first*: raise UnauthorizedError if there is one already.

        Raises AppsNotFoundError if its app is not there, FirstTokenError if it is the first and not an admin's,
        TooManyTokensError. Its app can't be removed before the token is kept, nor any other token change meanwhile.
        """
        ...

    async def remove_token(self, token_id: UUID) -> None:
        """Forget the token. Raises TokenNotFoundError, LastAdminTokenError while others remain that are no admin's."""
        ...


class Datastore(LogStore, TokenStore, Steering, Upkeep, Protocol):
    """Apps, routes and calls. Empty arguments raise the DatastoreEmpty… errors, app before route path."""

    async def get_app(self, app_name: str) -> App:
        """Raises DatastoreEmptyAppNameError, AppsNotFoundError."""
        ...

    async def get_apps(self, filter: AppFilter | None = None) -> list[App]:
        """Apps by name in byte order; a missing filter or empty name matches all."""
        ...

    async def insert_app(self, app: App | None) -> App:
        """Raises DatastoreEmptyAppError, DatastoreEmptyAppNameError, AppsAlreadyExistsError, TooManyAppsError.

        Apps that are created at the same instant may pass ``apps_max`` together.
        """
        ...

    async def update_app(self, app: App | None) -> App:
        """Merge config (an empty value deletes its key) and return the result; ``updated_at`` moves only on a change.

        Raises DatastoreEmptyAppError, DatastoreEmptyAppNameError, AppsNotFoundError, InvalidConfigError for the result.
        """
        ...

    async def remove_app(self, app_name: str) -> list[UUID]:
        """Remove the app with its routes, tokens, calls, and their results, logs and keys, in one transaction.

        Returns the calls that had not ended: the queue has still to forget them. A run under way can't be recorded.
        Until it ends, submissions to the app are refused, and the records of sync calls of all apps wait: so most calls
        and keys should be gone before, by remove_calls_of_app and remove_keys_of_app. Raises
        DatastoreEmptyAppNameError, AppsNotFoundError.
        """
        ...

    async def remove_calls_of_app(self, app: App, after: UUID, limit: int) -> RemovedCalls:
        """Look at *limit* calls of the app behind *after*, by id; remove those that ended or wait, and what is theirs.

        The app stays as it is, and so do calls that run or that somebody is changing. *app* is as get_app gave it:
        another one that got its name since is not touched. Raises AppsNotFoundError if it is gone.
        """
        ...

    async def remove_keys_of_app(self, app_name: str, after: str, limit: int) -> str | None:
        """Look at *limit* keys of the app behind *after*; forget those whose calls are gone.

        Returns the key that the next page begins behind; None if there is none.
        """
        ...

    async def get_route(self, app_name: str, route_path: str) -> Route:
        """The route at literally this path. Raises the empty-argument errors, RoutesNotFoundError."""
        ...

    async def get_routes_by_app(self, app_name: str, filter: RouteFilter | None = None) -> list[Route]:
        """Routes by path in byte order; an unknown app has none. Raises DatastoreEmptyAppNameError."""
        ...

    async def insert_route(self, route: Route | None) -> Route:
        """Raises DatastoreEmptyRouteError, the empty-argument errors, AppsNotFoundError, RoutesAlreadyExistsError,

        and TooManyRoutesError for more than ``app_max_routes`` of one app.
        """
        ...

    async def put_route(self, route: Route, app: App) -> Route:
        """insert_route, creating *app* in the same transaction if absent: a refused route leaves no app behind.

        Raises TooManyAppsError, too.
        """
        ...

    async def update_route(self, route: Route | None) -> Route:
        """Merge as Route.merge does, validate the result, return it; ``updated_at`` moves only on a change.

        Raises DatastoreEmptyRouteError, the empty-argument errors, RoutesNotFoundError, and what validation raises.
        """
        ...

    async def remove_route(self, app_name: str, route_path: str) -> None:
        """Accepted calls stay runnable. Raises the empty-argument errors, RoutesNotFoundError."""
        ...

    async def insert_revision(self, revision: RouteRevision) -> None:
        """Keep the revision as long as its app is there. The same one again changes nothing, or one without its app."""
        ...

    async def insert_call(self, call: Call) -> QueueEntry:
        """insert_calls of one."""
        ...

    async def insert_calls(self, calls: Sequence[Call]) -> list[QueueEntry]:
        """Store calls with payload and headers in one transaction; their places follow the list's order.

        All are stored when it returns, or none. Raises CallsAlreadyExistError if an id is taken, AppsNotFoundError if
        an app is gone, AppsBeingRemovedError if it is just going; none can be removed before the calls are stored.
        """
        ...

    async def submit_calls(self, submissions: Sequence[Submission]) -> list[QueueEntry | EarlierCall]:
        """insert_calls, but a submission whose key came before is not stored, and answered so.

        A revision that a submission brings, and that is not there, is stored with it.
        A key counts for ``idempotency_keys_keep_hours``. It is written with its call, in the one transaction: of any
        number that come together with the same key, in this list or in others, exactly one is stored.
        """
        ...

    async def prune_idempotency_keys(self, limit: int) -> int:
        """Forget at most *limit* keys that no longer count, the oldest first; return how many."""
        ...

    async def update_call(self, old: Call, new: Call) -> None:
        """Set the call to *new* if it still equals *old* in what is stored, in one statement.

        Compared and set: status, reason, detail, error, times, stats. Raises CallNotFoundError if there is no such
        call, DatastoreCannotUpdateCallError if it differs from *old*, if the ids differ, or for a forbidden transition.
        """
        ...

    async def get_call(self, app_name: str, call_id: UUID) -> Call:
        """The call with its current status (a due delayed call is queued), without payload, headers or environment.

        Raises DatastoreEmptyAppNameError, CallNotFoundError (also for another app's call).
        """
        ...

    async def get_calls(self, filter: CallFilter | None = None) -> list[Call]:
        """Calls, newest (largest id) first; none is an empty list.

        A list by time may leave out a call whose id was made more than ID_SLACK_S before or after its ``created_at``.
        """
        ...

    async def get_calls_by_id(self, ids: Sequence[UUID]) -> dict[UUID, Call]:
        """Those of the calls that there are, of any app, as get_call gives them."""
        ...

    async def count_unfinished(self, app_name: str, limit: int) -> int:
        """How many calls of the app have not ended; of each status no more than *limit* are counted."""
        ...

    async def sum_stored_bytes(self, app_name: str) -> int:
        """What is stored of the app's calls: records, inputs, results and logs. Reads every call of the app."""
        ...

    async def get_payload(self, call_id: UUID) -> bytes:
        """The call's payload. Raises CallNotFoundError."""
        ...

    async def get_result(self, app_name: str, call_id: UUID) -> CallResult:
        """What a finished call answered: of format ``default``, all its stdout. Raises CallResultNotFoundError."""
        ...

    async def claim(
        self, requests: Sequence[ClaimRequest], incarnation: UUID, max_attempts: int
    ) -> list[Claimed]:
        """The check after a reserve: take the calls over for these tokens, attempt + 1, in the order of *requests*.

        A call is missing from the answer if it is final or a newer token has it: acking it is safe then. Settled here,
        and final in the answer: a call whose cancellation was requested, whose attempts are used up (*max_attempts*, or
        what its route's retry allows if that is more), or that is older than its route's max_age.
        """
        ...

    async def mark_started(self, call_id: UUID, token: int, started_at: datetime) -> None:
        """Show when execution began; nothing happens if the token is no longer the row's."""
        ...

    async def extend_logs(self, chunks: Sequence[LogChunk]) -> set[UUID]:
        """Keep more of the logs of running calls; return the ids that run under these tokens. Others stay as they are.

        A chunk with ``first`` 0 takes the place of the log of an earlier attempt; the log ends with its chunk then. The
        same chunk again changes nothing. The call's end overwrites it all.
        """
        ...

    async def held(self, requests: Sequence[ClaimRequest]) -> set[UUID]:
        """Those of the calls that still run under exactly these tokens."""
        ...

    async def cancel_requested(self, requests: Sequence[ClaimRequest]) -> set[UUID]:
        """Those of the calls that are these tokens' and whose end was asked for, whether or not they have ended."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> set[UUID]:
        """Record outcomes with result, log and stats; return the ids that these tokens own.

        A call whose token is no longer the row's is left alone and missing from the answer. Settling again with the
        same token changes nothing and answers the same.
        """
        ...

    async def record_finished(self, finished: Sequence[FinishedCall]) -> None:
        """Store ended sync calls with stats and log, without payload and result. An id that is stored stays as it is.

        Calls of an app that is gone are left out.
        """
        ...

    async def release(
        self,
        requests: Sequence[ClaimRequest],
        *,
        give_back_attempt: bool,
        delay_ms: int = 0,
        failed: Outcome | None = None,
    ) -> None:
        """Set running → queued for these tokens, or with a delay → delayed, before the queue's release.

        A drain gives the attempt back. *failed*: how the attempt ended, to be shown while the call waits. A call whose
        end was asked for becomes cancelled instead.
        """
        ...

    async def settle_dead(self, ids: Sequence[UUID]) -> None:
        """Settle calls that the queue gave up on: error, killed, ``too_many_attempts``. Final ones stay as they are.

        A call whose end was asked for becomes cancelled instead.
        """
        ...

    async def settle_no_capacity(self, largest_mb: int, limit: int) -> list[UUID]:
        """Settle waiting calls that no live worker is large enough for: error, killed, ``no_capacity``; return which.

        At most *limit* of those that have been due for ``no_capacity_grace_s`` and need more than *largest_mb* and more
        than any live worker has. Without a live worker nothing happens.
        """
        ...

    async def ended(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those of the calls that are final, or that the store does not know (any more)."""
        ...

    async def register_worker(
        self,
        incarnation: UUID,
        host: str,
        slots: int,
        memory_mb: int,
        network: WorkerNetwork = UNKNOWN_NETWORK,
        machine: str = "",
    ) -> None:
        """Make the incarnation known, with a fresh heartbeat. Must come before it reserves or creates a container.

        Workers with the same *machine* share its memory; without one it shares with nobody.
        """
        ...

    async def share_memory(self, incarnation: UUID, use: MemoryUse) -> MemoryShare | None:
        """Write what the worker uses, and what it may use beside the machine's other live workers, which comes back.

        One after the other for all workers of a machine. None, and nothing happens, if the incarnation is not known.
        """
        ...

    async def heartbeat(
        self, incarnation: UUID, network: WorkerNetwork = UNKNOWN_NETWORK, *, is_draining: bool = False
    ) -> bool:
        """Refresh the incarnation's heartbeat, what its functions reach, and whether it drains.

        False, and nothing happens, if it is not known (any more).
        """
        ...

    async def remove_worker(self, incarnation: UUID) -> None:
        """Forget an incarnation that ended; an unknown one is fine."""
        ...

    async def prune_workers(self) -> None:
        """Forget incarnations that died without saying so: no heartbeat for a day, and no running call names them."""
        ...

    async def live_incarnations(self) -> set[UUID]:
        """Incarnations whose heartbeat is fresh (younger than ``heartbeat_stale_s``, on Postgres's clock)."""
        ...

    async def live_slots(self) -> int:
        """How many slots all live workers have together."""
        ...

    async def largest_worker_mb(self) -> int | None:
        """The memory of the largest live incarnation; None if none is live."""
        ...

    async def pause_queue(self, queue_name: str) -> None:
        """Record that the queue hands out nothing, for good until it is resumed. The queue itself is told after this.

        Idempotent, as resuming is."""
        ...

    async def resume_queue(self, queue_name: str) -> None:
        """Record that the queue hands out calls again."""
        ...

    async def is_queue_paused(self, queue_name: str) -> bool:
        """Whether the queue is to hand out nothing."""
        ...

    async def installation_id(self) -> UUID:
        """The identity of this database: installations that share a container engine tell theirs apart by it."""
        ...

    async def check(self) -> None:
        """Return if Postgres answers, else raise StoreUnavailableError."""
        ...

    def get_database(self) -> Pool:
        """The underlying connection pool."""
        ...

    async def aclose(self) -> None:
        """Close the pool. Nothing may be called after it."""
        ...
