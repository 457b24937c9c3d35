"""The MessageQueue contract. protocol.md draws the lifecycle; redis.py is the one implementation.

The queue holds ids, places and leases, not payloads: Postgres is the record, this is an index that can be rebuilt
from it at any time. Everybody must be able to lose it without losing an async call. Sync calls have no record before
they end, so their messages are here; one that is lost with Redis is missed by its caller only.

The three operations that the package page asks for, and what each promises
    push     Raising means the calls are not queued, or that nobody knows: pushing again is right either way, because a
             call is queued once however often it is pushed. A second execution is prevented after the dequeue, where
             the claim in the store lets one reservation win. A call with a delay can't be reserved before at least
             that much time has passed; calls delayed alike may come in any order. Sync calls have no claim: if nobody
             knows whether one is queued, never push it again.
    reserve  Takes calls from the front, starts a timeout (the lease) for each and returns them. It must not lose a call
             whatever fails: a reservation that never reached its caller, or whose holder died, expires, and a later
             reserve has the call again. An empty queue answers at once with nothing.
    delete   (or ``ack``) A pending reservation is acknowledged and its call forgotten for good. A call that is here
             without this reservation is an error; a call that does not exist is a success.

Guarantees
    Order       Sync calls first, in the order of their pushes; then higher priority first; inside a priority by place
                (``order_no``), so first in, first out.
    Restoration A call whose lease expires, or that is released, returns to its *original* place. With [A, B, C], A and
                B reserved, B acked and A expired, the queue is [A, C], never [C, A].
    No loss     As reserve says. Not restored but handed over as dead: a sync call (its caller gets an answer, no second
                run) and a call delivered too often. Not restored but dropped: a call whose cancel was asked for.
    Delay       Measured from the push, on Redis's clock.
    Fencing     Each reservation has a token, larger than every token before it, also after Redis lost its data. An old
                token can ack, extend and release nothing.
    Atomicity   Every operation is one script: all of it happened, or nothing.

Every method raises QueueUnavailableError when Redis can't be reached in time; then the operation may or may not have
happened, and (but for reserve) doing it again is harmless.
"""

from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from common.models import QueueEntry, SyncTicket


class Lane(Enum):
    """What a worker waits for. Sync calls stand above every async priority."""

    SYNC = "sync"
    ASYNC = "async"


class Capacity(Struct, frozen=True, kw_only=True):
    """What a worker can take now: free slots, free memory, and its total memory (what can never fit here).

    At most ``slots`` calls in all, and at most ``sync_slots`` and ``async_slots`` of each lane. One with 0 is not asked
    for. ``async_first`` of the slots are for async calls before they are for sync ones, as far as there are async
    calls that fit; no slot stays empty for them.
    """

    slots: int
    sync_slots: int
    async_slots: int
    async_first: int = 0
    free_mb: int
    total_mb: int


class Reservation(Struct, frozen=True, kw_only=True):
    """The sole right to run a call until ``expires_at_ms`` (Redis's clock, Unix ms), proven by ``token``.

    A sync call's comes with its ticket, in which ``ttl_ms`` is what is left of its wait: start it in that, or never.
    """

    id: UUID
    token: int
    deliveries: int
    expires_at_ms: int
    ticket: SyncTicket | None = None


class Reserved(Struct, frozen=True, kw_only=True):
    """A reserve's answer: reservations in the order to start them, and when something next falls due or expires.

    ``next_ms``: milliseconds until then, None if nothing is delayed or leased. ``has_left``: ready calls of the lanes
    asked for stayed behind, so that more capacity is worth another reserve.
    """

    reservations: list[Reservation]
    next_ms: int | None
    has_left: bool


class Extension(Enum):
    """What became of a lease that was extended."""

    HELD = "held"
    CANCEL_REQUESTED = "cancel_requested"  # held, and somebody asked for its end
    LOST = "lost"  # expired, released or taken over: stop the run, write nothing
    UNKNOWN = "unknown"  # Redis does not know the call: it was acked, or Redis lost its data. Ask the store


class Acked(Enum):
    """What an ack found."""

    ACKED = "acked"
    UNHEARD = "unheard"  # acked; the api that waited for the reply has ended, so none was left
    UNKNOWN = "unknown"  # no such call: success by contract
    NOT_RESERVED = "not_reserved"  # known, but not leased with this token


class Cancelled(Enum):
    """What a cancel found."""

    REMOVED = "removed"  # it was waiting and is gone: nobody will run it
    REQUESTED = "requested"  # it is leased: its holder is told
    UNKNOWN = "unknown"  # no such call, or a dead one, which is the store's to settle


class Withdrawn(Enum):
    """What a withdrawal of a sync call found."""

    WITHDRAWN = "withdrawn"  # nobody had taken it, and nobody will
    RUNNING = "running"  # a worker has it
    ENDED = "ended"  # it was replied to, or is dead and will be


class Trace(Enum):
    """What the queue knows of a sync call."""

    HERE = "here"  # it waits, runs, or is dead and not yet replied to
    ENDED = "ended"  # within the last minute
    UNKNOWN = "unknown"


class DeadCall(Struct, frozen=True, kw_only=True):
    """A call that the queue gave up on: delivered too often, or a sync one that nobody may run any more.

    ``deliveries`` 0: no worker ever had it, its wait ran out.
    """

    id: UUID
    deliveries: int
    ticket: SyncTicket | None = None


class Peeked(Struct, frozen=True, kw_only=True):
    """A ready call: ``priority`` None for a sync one, ``ready_ms`` for how long it has been ready."""

    id: UUID
    priority: int | None
    ready_ms: int
    memory_mb: int
    deliveries: int


class Depth(Struct, frozen=True, kw_only=True):
    """Exact counts. ``ready`` is indexed by priority (0..2). ``due`` ⊆ ``delayed``, ``expired`` ⊆ ``leased``."""

    ready: tuple[int, int, int]
    ready_sync: int
    delayed: int
    due: int
    leased: int
    expired: int
    dead: int
    calls: int
    oldest_ready_ms: int | None
    is_paused: bool

    @property
    def unaccounted(self) -> int:
        """Known calls less those that stand somewhere: 0 at every instant, or something is broken."""
        standing = sum(self.ready) + self.ready_sync + self.delayed + self.leased + self.dead
        return self.calls - standing

    @property
    def is_conserved(self) -> bool:
        """Whether every known call stands in exactly one place."""
        return self.unaccounted == 0


class MessageQueue(Protocol):
    """Priority, FIFO, delay, leases and exact restoration. Safe to use from many processes; safe to cancel anywhere."""

    async def push(self, entries: Sequence[QueueEntry], generation: int | None = None) -> int:
        """Put calls at their places; return how many were new. A call that is already here stays as it is.

        A sync call that ended or was withdrawn within the last minute stays away.

        With a *generation* only into data of this generation, so that nothing gets in before what was lost is back:
        raises QueueLostError if Redis has lost it, having pushed none (of more than 500, earlier parts may be).

        A sync call whose ``ttl_ms`` passes before a worker has it is never reserved: it is handed over as dead. One
        whose push raised QueueUnavailableError may run all the same if that error says so, until `withdraw` tells.

        Raises QueuePausedError, having pushed none, for sync calls while the queue is paused.

        Raises QueueFullError, having pushed none, if they don't all fit (``queue_max_calls``, or Redis's memory). Of
        more than 500 calls, earlier parts may be pushed then.
        An entry with ``delay_ms`` > 0 can be reserved only after that long.
        """
        ...

    async def reserve(self, capacity: Capacity, incarnation: UUID) -> Reserved:
        """Take calls from the head, as many as fit *capacity* (500 at most), and lease each to *incarnation*.

        Stops at a call that fits only later, with everything behind it: a sync call for which memory has to come free
        stops the async ones too, but for ``async_first`` of them, so that smaller calls can't starve it. A lane that is
        full or not asked for is passed over, and stops nothing. Skips, within a bound, calls larger than ``total_mb``.
        Never waits; takes nothing while paused.
        A cancelled or lost reply strands nothing: those leases expire.
        """
        ...

    async def wait(self, lanes: Sequence[Lane], timeout_s: float) -> None:
        """Return when there may be something to reserve in *lanes*, or after *timeout_s* (or somewhat sooner).

        Losing it loses no call. While the queue is paused only *timeout_s* ends it. It may go on beside reserves of the
        same worker; once it returned, what it promises is found by a reserve that begins after that."""
        ...

    async def ack(self, reservations: Sequence[Reservation]) -> list[Acked]:
        """Forget finished calls for good, those leased with these tokens; say for each what was found just then."""
        ...

    async def reply(self, reservation: Reservation, reply: bytes) -> Acked:
        """Ack a sync call and leave *reply* for the api that waits for it, in one step; only if this lease still holds.

        So a call gets one reply at most. UNHEARD: nobody waits for it any more. Repeated after a lost answer: UNKNOWN
        may mean that this very call did it.
        """
        ...

    def replies(self, reply_to: UUID) -> AsyncIterator[bytes]:
        """Replies addressed to *reply_to*, each once, in the order they came. Endless; one listener for an address.

        Reconnects by itself and raises nothing. A reply in flight when a connection breaks may be lost; one that nobody
        fetches is forgotten after a minute.
        """
        ...

    async def delete(self, reservation: Reservation) -> None:
        """Ack one: raises NotReservedError if the call is here without this reservation; succeeds if it is unknown."""
        ...

    async def extend(self, reservations: Sequence[Reservation]) -> list[Extension]:
        """Renew leases to ``lease_s`` from now; say for each what became of it. Never shortens a lease.

        A lease that has run out is held until maintenance restores its call: nobody else can have it before.
        """
        ...

    async def release(self, reservations: Sequence[Reservation], delay_ms: int = 0) -> list[bool]:
        """Give calls back to their original places (after *delay_ms*); False where the token no longer holds the lease.

        The delivery is given back too: a release is not a crash. A call whose cancel was asked for is dropped.
        """
        ...

    async def release_incarnation(self, incarnation: UUID) -> int:
        """Release everything a dead incarnation holds, in one step; return how many.

        Deliveries stay counted, as when a lease expires: a call that was delivered too often is dead-lettered here too.
        """
        ...

    async def cancel(self, ids: Sequence[UUID]) -> list[Cancelled]:
        """Take waiting calls out, and ask the holders of leased ones to end them; say for each which it was.

        The request stands as long as the lease: extend answers CANCEL_REQUESTED, `cancellations` yields the id. A call
        that loses its lease then (expiry, release, a dead holder) is not restored but dropped: the queue forgets it.
        So the store must know of the cancel first. Mostly it has the holder's outcome already; a call that no holder
        settled is unfinished there, is pushed again by the reconciler, and cancelled by its claim instead of run.
        A sync call is not dropped but handed over as dead: somebody has to answer its caller.
        """
        ...

    async def withdraw(self, ids: Sequence[UUID], *, is_unheard: bool) -> list[Withdrawn]:
        """See that sync calls which no worker has taken never start; say for each what was found. Each id once.

        Also for one whose push raised QueueUnavailableError: should that push arrive later, within a minute, it is
        ignored. Leased calls go on; with *is_unheard* their reply finds out that nobody waits for it. After a lost
        answer it is repeated: then ENDED may mean that this very call withdrew it.
        """
        ...

    async def absent(self, ids: Sequence[UUID]) -> list[UUID]:
        """Those of *ids* that the queue does not know, in their order."""
        ...

    async def trace(self, call_id: UUID) -> Trace:
        """Whether this is a sync call that is here, or that ended within the last minute."""
        ...

    def cancellations(self) -> AsyncIterator[UUID]:
        """Ids of leased calls, anybody's, as their cancel is asked for. Endless; close it, or cancel its task.

        Reconnects by itself and raises nothing. What it misses, extend still says.
        """
        ...

    async def announce(self, ids: Sequence[UUID]) -> None:
        """Tell whoever listens that something about these calls was committed; one message for up to 500 of them.

        Best effort: nothing is raised when Redis can't be reached in time, and nothing is tried again. To be called
        after the commit, and by nobody on whom a call waits: announcer.py does it beside other work.
        """
        ...

    def announcements(self) -> AsyncIterator[UUID]:
        """Ids of calls, anybody's, of which something was committed. Endless; close it, or cancel its task.

        Reconnects by itself and raises nothing. Messages may be missed: whoever follows a call reads the store now and
        then.
        """
        ...

    async def maintain(self) -> int | None:
        """Restore expired leases, promote due calls, dead-letter what was delivered too often and sync calls whose
        wait is over, or that wait while the queue is paused; bounded work.

        Returns milliseconds until the next thing falls due or expires (0: more to do now), None if there is nothing.
        """
        ...

    async def dead(self, limit: int) -> list[DeadCall]:
        """Up to *limit* dead calls, oldest first: they are handed over to the store, then buried."""
        ...

    async def bury(self, ids: Sequence[UUID]) -> None:
        """Forget dead calls that the store has settled. Ids that are not dead are left alone."""
        ...

    async def bury_replied(self, call: DeadCall, reply: bytes) -> bool:
        """Bury a dead sync call and leave *reply* for the api that waits for it; False if somebody else did."""
        ...

    async def seed_token(self, token: int) -> None:
        """Make every later token larger than *token*: for a Redis that lost its data, and whose clock is behind."""
        ...

    async def pause(self) -> None:
        """Hand out nothing until `resume`. All else goes on: async pushes, leases, acks, maintenance. Idempotent.

        Sync calls that wait are handed over as dead: their callers are not to wait for the end of the pause.
        """
        ...

    async def resume(self) -> None:
        """Hand out calls again, and wake waiters, at most 64 for each lane. Idempotent."""
        ...

    async def peek(self, limit: int) -> list[Peeked]:
        """The next *limit* ready calls (500 at most) in the order reserve would take them. Touches nothing."""
        ...

    async def depth(self) -> Depth:
        """Exact counts at one instant."""
        ...

    async def generation(self) -> int:
        """Which life of the queue's data this is: another number than before means that Redis lost everything."""
        ...

    async def run_id(self) -> str:
        """Which run of Redis this is: another one than before means that it restarted or another server took its place.

        Then the data may be of the same generation and yet lack the last writes, about a second of them. Empty if Redis
        does not tell.
        """
        ...

    async def check(self) -> None:
        """Raise QueueUnavailableError if Redis does not answer, ServerUnusableError for one that is not fit for the
        queue (password, rights, version, …), EvictingRedisError if it may evict keys."""
        ...

    async def aclose(self) -> None:
        """Close the connections. Nothing may be called after it."""
        ...
