"""What the queue's tests push and expect."""

from uuid import UUID

from common.models import QueueEntry, SyncTicket, new_id
from common.queue.base import Capacity, Depth, Reserved


def room(
    slots: int = 500,
    *,
    sync: int | None = None,
    others: int | None = None,
    others_first: int = 0,
    free_mb: int = 1_000_000,
    total_mb: int = 1_000_000,
) -> Capacity:
    """Capacity for *slots* calls; *sync* and *others* bound the lanes, *others_first* come before sync ones."""
    return Capacity(
        slots=slots,
        sync_slots=slots if sync is None else sync,
        async_slots=slots if others is None else others,
        async_first=others_first,
        free_mb=free_mb,
        total_mb=total_mb,
    )


ROOMY = room()


def entry(order_no: int, priority: int = 0, *, delay_ms: int = 0, memory_mb: int = 128) -> QueueEntry:
    return QueueEntry(
        id=new_id(), order_no=order_no, priority=priority, delay_ms=delay_ms, memory_mb=memory_mb
    )


MINUTE_MS = 60_000


def sync_entry(
    *, memory_mb: int = 128, reply_to: UUID | None = None, ttl_ms: int = MINUTE_MS, message: bytes = b"sync"
) -> QueueEntry:
    """A sync call. Order_no, priority and delay must not matter, so they are such as would put it last."""
    return QueueEntry(
        id=new_id(),
        order_no=2**50 - 1,
        priority=0,
        delay_ms=MINUTE_MS,
        memory_mb=memory_mb,
        ticket=SyncTicket(reply_to=reply_to or new_id(), ttl_ms=ttl_ms, message=message),
    )


def slots(number: int) -> Capacity:
    """Capacity for *number* calls of any size."""
    return room(number)


def ids(reserved: Reserved) -> list[UUID]:
    return [reservation.id for reservation in reserved.reservations]


def is_conserved(depth: Depth) -> bool:
    return depth.is_conserved and depth.due <= depth.delayed and depth.expired <= depth.leased
