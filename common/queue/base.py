"""The MessageQueue contract. protocol.md draws the lifecycle; redis.py is the one implementation.

The queue holds ids, places and leases, never payloads: Postgres is the record, this is an index that can be rebuilt
from it at any time. Everybody must be able to lose it without losing a call.

Guarantees
    Order       Higher priority first; inside a priority by place (``order_no``), so first in, first out.
    Restoration A call whose lease expires, or that is released, returns to its *original* place. With [A, B, C], A and
                B reserved, B acked and A expired, the queue is [A, C], never [C, A].
    No loss     A reservation that never reached its caller, or whose holder died, expires and can be reserved again.
    Delay       A delayed call can't be reserved before its delay has passed, measured from the push on Redis's clock.
    Fencing     Each reservation has a token, larger than every token before it, also after Redis lost its data. An old
                token can ack, extend and release nothing.
    Atomicity   Every operation is one script: all of it happened, or nothing.

Every method raises QueueUnavailableError when Redis can't be reached in time; then the operation may or may not have
happened, and (but for reserve) doing it again is harmless.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from common.models import QueueEntry


class Lane(Enum):
    """What a worker waits for. Sync calls stand above every async priority."""

    SYNC = "sync"
    ASYNC = "async"


class Capacity(Struct, frozen=True, kw_only=True):
    """What a worker can take now: free slots, free memory, and its total memory (what can never fit here)."""

    slots: int
    free_mb: int
    total_mb: int


class Reservation(Struct, frozen=True, kw_only=True):
    """The sole right to run a call until ``expires_at_ms`` (Redis's clock, Unix ms), proven by ``token``."""

    id: UUID
    token: int
    deliveries: int
    expires_at_ms: int


class Reserved(Struct, frozen=True, kw_only=True):
    """A reserve's answer: reservations in the order to start them, and when something next falls due or expires.

    ``next_ms``: milliseconds until then, None if nothing is delayed or leased.
    """

    reservations: list[Reservation]
    next_ms: int | None


class Extension(Enum):
    """What became of a lease that was extended."""

    HELD = "held"
    CANCEL_REQUESTED = "cancel_requested"
    LOST = "lost"  # expired, released or taken over: stop the run, write nothing
    UNKNOWN = "unknown"  # Redis does not know the call: it was acked, or Redis lost its data. Ask the store


class Acked(Enum):
    """What an ack found."""

    ACKED = "acked"
    UNKNOWN = "unknown"  # no such call: success by contract
    NOT_RESERVED = "not_reserved"  # known, but not leased with this token


class Depth(Struct, frozen=True, kw_only=True):
    """Exact counts. ``ready`` is indexed by priority (0..2). ``due`` ⊆ ``delayed``, ``expired`` ⊆ ``leased``.

    Conservation: sum(ready) + delayed + leased + dead == calls, at every instant.
    """

    ready: tuple[int, int, int]
    delayed: int
    due: int
    leased: int
    expired: int
    dead: int
    calls: int
    oldest_ready_ms: int | None


class MessageQueue(Protocol):
    """Priority, FIFO, delay, leases and exact restoration. Safe to use from many processes; safe to cancel anywhere."""

    async def push(self, entries: Sequence[QueueEntry]) -> int:
        """Put calls at their places; return how many were new. A call that is already here stays as it is.

        Raises QueueFullError, having pushed none, if they don't all fit (``queue_max_calls``, or Redis's memory). Of
        more than 500 calls, earlier parts may be pushed then.
        An entry with ``delay_ms`` > 0 can be reserved only after that long.
        """
        ...

    async def reserve(self, capacity: Capacity, incarnation: UUID) -> Reserved:
        """Take calls from the head, as many as fit *capacity* (500 at most), and lease each to *incarnation*.

        Stops at a call that fits only later; skips, within a bound, calls larger than ``total_mb``. Never waits.
        A cancelled or lost reply strands nothing: those leases expire.
        """
        ...

    async def wait(self, lanes: Sequence[Lane], timeout_s: float) -> None:
        """Return when there may be something to reserve, or after *timeout_s*. Losing it loses no call."""
        ...

    async def ack(self, reservations: Sequence[Reservation]) -> list[Acked]:
        """Forget finished calls for good, those leased with these tokens; say for each what was found."""
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

        The delivery is given back too: a release is not a crash.
        """
        ...

    async def release_incarnation(self, incarnation: UUID) -> int:
        """Release everything a dead incarnation holds, in one step; return how many.

        Deliveries stay counted: a call that was delivered too often is dead-lettered here too.
        """
        ...

    async def maintain(self) -> int | None:
        """Restore expired leases, promote due calls, dead-letter what was delivered too often; bounded work.

        Returns milliseconds until the next thing falls due or expires (0: more to do now), None if there is nothing.
        """
        ...

    async def dead(self, limit: int) -> list[UUID]:
        """Up to *limit* dead calls, oldest first: they are handed over to the store, then buried."""
        ...

    async def bury(self, ids: Sequence[UUID]) -> None:
        """Forget dead calls that the store has settled. Ids that are not dead are left alone."""
        ...

    async def depth(self) -> Depth:
        """Exact counts at one instant."""
        ...

    async def generation(self) -> int:
        """Which life of the queue's data this is: another number than before means that Redis lost everything."""
        ...

    async def check(self) -> None:
        """Raise EvictingRedisError if Redis may evict keys, QueueUnavailableError if it does not answer."""
        ...

    async def aclose(self) -> None:
        """Close the connections. Nothing may be called after it."""
        ...
