"""What the queue's tests push and expect."""

from uuid import UUID

from common.models import QueueEntry, new_id
from common.queue.base import Capacity, Depth, Reserved

ROOMY = Capacity(slots=500, free_mb=1_000_000, total_mb=1_000_000)


def entry(order_no: int, priority: int = 0, *, delay_ms: int = 0, memory_mb: int = 128) -> QueueEntry:
    return QueueEntry(
        id=new_id(), order_no=order_no, priority=priority, delay_ms=delay_ms, memory_mb=memory_mb
    )


def slots(number: int) -> Capacity:
    """Capacity for *number* calls of any size."""
    return Capacity(slots=number, free_mb=1_000_000, total_mb=1_000_000)


def ids(reserved: Reserved) -> list[UUID]:
    return [reservation.id for reservation in reserved.reservations]


def is_conserved(depth: Depth) -> bool:
    known = sum(depth.ready) + depth.delayed + depth.leased + depth.dead
    return known == depth.calls and depth.due <= depth.delayed and depth.expired <= depth.leased
