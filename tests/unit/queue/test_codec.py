"""Places and what the scripts are told and answer."""

from uuid import UUID

import pytest

from common.models import QueueEntry, SyncTicket, new_id
from common.queue import codec
from common.queue.base import Acked, Cancelled, DeadCall, Extension, Peeked, Reservation


def test_places_are_ordered_by_priority_then_order_no() -> None:
    ordered = [
        (2, 0),
        (2, 1),
        (2, codec.LEVEL - 1),
        (1, 0),
        (1, codec.LEVEL - 1),
        (0, 0),
        (0, codec.LEVEL - 1),
    ]
    places = [codec.place(*each) for each in ordered]
    assert places == sorted(set(places))
    assert places[0] == codec.LEVEL, "level 0 is the sync lane's"
    assert all(float(place) == place < 2**53 for place in places)


@pytest.mark.parametrize(("priority", "order_no"), [(-1, 0), (3, 0), (0, -1), (0, codec.LEVEL)])
def test_what_has_no_place_is_refused(priority: int, order_no: int) -> None:
    with pytest.raises(ValueError, match="no place"):
        codec.place(priority, order_no)


def test_level_bounds_meet_without_overlap() -> None:
    bounds = codec.level_bounds()
    assert bounds == [
        3 * codec.LEVEL,
        4 * codec.LEVEL,
        2 * codec.LEVEL,
        3 * codec.LEVEL,
        codec.LEVEL,
        2 * codec.LEVEL,
        0,
        codec.LEVEL,
    ]


def test_arguments_are_flat_with_raw_ids() -> None:
    id_ = new_id()
    entry = QueueEntry(id=id_, order_no=7, priority=1, delay_ms=50, memory_mb=128)
    assert codec.entry_arguments([entry], 10) == [1, id_.bytes, 2 * codec.LEVEL + 7, 50, 128, 10]
    ticket = SyncTicket(reply_to=new_id(), ttl_ms=9, message=b"m")
    sync = QueueEntry(id=id_, order_no=7, priority=1, delay_ms=50, memory_mb=128, ticket=ticket)
    assert codec.entry_arguments([sync, entry], 10) == [
        *(2, id_.bytes, codec.NEXT_SYNC_PLACE, 9, 128, 1),
        *(id_.bytes, 2 * codec.LEVEL + 7, 50, 128, 10),
        *(ticket.reply_to.bytes, b"m"),
    ]
    reservation = Reservation(id=id_, token=9, deliveries=1, expires_at_ms=0)
    assert codec.reservation_arguments([reservation]) == [id_.bytes, 9]


def test_answers_become_the_contracts_types() -> None:
    a, b = UUID(int=1), UUID(int=2)
    ticket = SyncTicket(reply_to=b, ttl_ms=70, message=b"m")
    calls = [a.bytes, 11, 1, b.bytes, 12, 3, b.bytes, 70, b"m"]
    look = codec.decode_look([1, -1, 4, 5000, 1, 1, *calls])
    assert (look.has_more, look.news) == (True, 4)
    assert (look.reserved.next_ms, look.reserved.has_left) == (None, True)
    assert look.reserved.reservations == [
        Reservation(id=a, token=11, deliveries=1, expires_at_ms=5000, ticket=ticket),
        Reservation(id=b, token=12, deliveries=3, expires_at_ms=5000),
    ]
    assert codec.decode_acked([1, 0, 2]) == [Acked.ACKED, Acked.UNKNOWN, Acked.NOT_RESERVED]
    assert codec.decode_extensions([1, 2, 3, 0]) == [
        Extension.HELD,
        Extension.CANCEL_REQUESTED,
        Extension.LOST,
        Extension.UNKNOWN,
    ]
    assert codec.decode_cancelled([1, 2, 0]) == [Cancelled.REMOVED, Cancelled.REQUESTED, Cancelled.UNKNOWN]
    assert codec.decode_dead([a.bytes, 1, b.bytes, 70, b"m", b.bytes, 10, b"", 0, b""]) == [
        DeadCall(id=a, deliveries=1, ticket=ticket),
        DeadCall(id=b, deliveries=10),
    ]
    assert codec.decode_ids(a.bytes + b.bytes) == [a, b]
    assert codec.decode_peeked([a.bytes, 0, 5, 128, 0, b.bytes, 3, 6, 64, 2]) == [
        Peeked(id=a, priority=None, ready_ms=5, memory_mb=128, deliveries=0),
        Peeked(id=b, priority=0, ready_ms=6, memory_mb=64, deliveries=2),
    ]
    depth = codec.decode_depth([1, 2, 3, 7, 4, 1, 5, 2, 6, 28, -1, 1])
    assert (depth.ready, depth.delayed, depth.due, depth.leased) == ((1, 2, 3), 4, 1, 5)
    assert (depth.expired, depth.dead, depth.calls, depth.oldest_ready_ms) == (2, 6, 28, None)
    assert (depth.ready_sync, depth.is_paused, depth.is_conserved) == (7, True, True)
