"""Between the contract's types and the scripts' flat arguments and answers. Pure functions; no Redis here.

An id travels as its 16 raw bytes, a time in ms, a token and a place as whole numbers below 2^53 (Lua's numbers are
doubles). A call's record in ``meta`` is packed and read by Lua only: lua/record.lua, protocol.md.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from common.models import MAX_PRIORITY, QueueEntry, SyncTicket
from common.queue.base import (
    Acked,
    Cancelled,
    DeadCall,
    Depth,
    Extension,
    Peeked,
    Reservation,
    Reserved,
    Trace,
    Withdrawn,
)

LEVEL = 2**50  # places of one level; eight levels fit a double exactly
NEXT_SYNC_PLACE = -1  # push.lua takes the next one of level 0
SYNC_DELIVERIES = 1  # a sync call is never restored: its caller gets an answer instead

Argument = bytes | int | str

_ACKED = (Acked.UNKNOWN, Acked.ACKED, Acked.NOT_RESERVED, Acked.UNHEARD)
_CANCELLED = (Cancelled.UNKNOWN, Cancelled.REMOVED, Cancelled.REQUESTED)
_WITHDRAWN = (Withdrawn.ENDED, Withdrawn.WITHDRAWN, Withdrawn.RUNNING)
_TRACES = (Trace.UNKNOWN, Trace.HERE, Trace.ENDED)
_EXTENSIONS = (Extension.UNKNOWN, Extension.HELD, Extension.CANCEL_REQUESTED, Extension.LOST)


def place(priority: int, order_no: int) -> int:
    """The score of an async call: level 1 for the highest priority (level 0 is the sync lane's), then its order_no.

    Raises ValueError for what would land in another level."""
    if not (0 <= priority <= MAX_PRIORITY and 0 <= order_no < LEVEL):
        raise ValueError(f"no place for priority {priority}, order_no {order_no}")
    return (MAX_PRIORITY + 1 - priority) * LEVEL + order_no


def entry_arguments(entries: Sequence[QueueEntry], max_deliveries: int) -> list[Argument]:
    """How many calls, what push.lua takes for each, and the tickets; *max_deliveries* is for async ones."""
    arguments: list[Argument] = [len(entries)]
    tickets: list[Argument] = []
    for entry in entries:
        ticket = entry.ticket
        if ticket is None:
            where = place(entry.priority, entry.order_no)
            arguments += (entry.id.bytes, where, entry.delay_ms, entry.memory_mb, max_deliveries)
        else:
            arguments += (entry.id.bytes, NEXT_SYNC_PLACE, ticket.ttl_ms, entry.memory_mb, SYNC_DELIVERIES)
            tickets += (ticket.reply_to.bytes, ticket.message)
    return arguments + tickets


def reservation_arguments(reservations: Sequence[Reservation]) -> list[Argument]:
    """What ack, extend and release take for each call."""
    arguments: list[Argument] = []
    for reservation in reservations:
        arguments += (reservation.id.bytes, reservation.token)
    return arguments


def level_bounds() -> list[Argument]:
    """What depth.lua takes: for each priority 0..2, then the sync lane, its first place and the first one after it."""
    bounds: list[Argument] = []
    for first in (*(place(priority, 0) for priority in range(MAX_PRIORITY + 1)), 0):
        bounds += (first, first + LEVEL)
    return bounds


class Look(NamedTuple):
    """reserve.lua's answer: the Reserved, whether maintenance has more to do, and the news it had seen."""

    reserved: Reserved
    has_more: bool
    news: int


def decode_look(answer: list[Any]) -> Look:
    """reserve.lua's answer."""
    more, next_ms, news, expires_at_ms, has_left, sync_calls, *fields = answer
    tickets_at = len(fields) - 3 * sync_calls
    tickets: list[SyncTicket | None] = [
        _ticket(*fields[i : i + 3]) for i in range(tickets_at, len(fields), 3)
    ]
    tickets += [None] * (tickets_at // 3 - sync_calls)
    reservations = [
        Reservation(
            id=UUID(bytes=fields[3 * i]),
            token=fields[3 * i + 1],
            deliveries=fields[3 * i + 2],
            expires_at_ms=expires_at_ms,
            ticket=ticket,
        )
        for i, ticket in enumerate(tickets)
    ]
    reserved = Reserved(reservations=reservations, next_ms=decode_next_ms(next_ms), has_left=has_left == 1)
    return Look(reserved, more == 1, news)


def _ticket(reply_to: bytes, ttl_ms: int, message: bytes) -> SyncTicket | None:
    """None for an async call's, which is empty."""
    return SyncTicket(reply_to=UUID(bytes=reply_to), ttl_ms=ttl_ms, message=message) if reply_to else None


def decode_next_ms(answer: int) -> int | None:
    """Milliseconds, None for the scripts' -1."""
    return None if answer < 0 else answer


def decode_dead(answer: list[Any]) -> list[DeadCall]:
    """dead.lua's answer."""
    return [
        DeadCall(id=UUID(bytes=answer[i]), deliveries=answer[i + 1], ticket=_ticket(*answer[i + 2 : i + 5]))
        for i in range(0, len(answer), 5)
    ]


def decode_acked(answer: list[int]) -> list[Acked]:
    """The answer of ack.lua, call by call, or of reply.lua."""
    return [_ACKED[code] for code in answer]


def decode_extensions(answer: list[int]) -> list[Extension]:
    """extend.lua's answer, call by call."""
    return [_EXTENSIONS[code] for code in answer]


def decode_cancelled(answer: list[int]) -> list[Cancelled]:
    """cancel.lua's answer, call by call."""
    return [_CANCELLED[code] for code in answer]


def decode_withdrawn(answer: list[int]) -> list[Withdrawn]:
    """withdraw.lua's answer, call by call."""
    return [_WITHDRAWN[code] for code in answer]


def decode_trace(answer: int) -> Trace:
    """trace.lua's answer."""
    return _TRACES[answer]


def encode_ids(ids: Sequence[UUID]) -> bytes:
    """A message of a channel."""
    return b"".join(id_.bytes for id_ in ids)


def decode_ids(raw: bytes) -> list[UUID]:
    """The ids of a message, as encode_ids and cancel.lua put them one after the other."""
    return [UUID(bytes=raw[i : i + 16]) for i in range(0, len(raw), 16)]


def decode_peeked(answer: list[Any]) -> list[Peeked]:
    """peek.lua's answer."""
    return [
        Peeked(
            id=UUID(bytes=answer[i]),
            priority=MAX_PRIORITY + 1 - answer[i + 1] if answer[i + 1] else None,
            ready_ms=answer[i + 2],
            memory_mb=answer[i + 3],
            deliveries=answer[i + 4],
        )
        for i in range(0, len(answer), 5)
    ]


def decode_depth(answer: list[int]) -> Depth:
    """depth.lua's answer."""
    low, middle, high, sync, delayed, due, leased, expired, dead, calls, oldest_ms, is_paused = answer
    return Depth(
        ready=(low, middle, high),
        ready_sync=sync,
        delayed=delayed,
        due=due,
        leased=leased,
        expired=expired,
        dead=dead,
        calls=calls,
        oldest_ready_ms=None if oldest_ms < 0 else oldest_ms,
        is_paused=is_paused == 1,
    )
