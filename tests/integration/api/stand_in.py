"""A worker's part of a sync call, in a few lines: it reserves and replies by the real protocol, and runs nothing."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from common.models import Call, CallStatus, Outcome, SyncReply, decode_call, encode_reply, new_id
from common.queue.base import Acked, Capacity, MessageQueue, Reservation
from tests.polling import eventually


class Taken(NamedTuple):
    reservation: Reservation
    call: Call


def ended(status: CallStatus = CallStatus.SUCCESS, **fields: Any) -> Outcome:
    return Outcome(status=status, completed_at=datetime.now(UTC), **fields)


class StandIn:
    """One incarnation."""

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self.incarnation = new_id()

    async def take(self) -> Taken:
        """The next sync call, as soon as there is one."""
        (taken,) = await eventually(lambda: self.take_up_to(1))
        return taken

    async def take_up_to(self, count: int) -> list[Taken]:
        """The sync calls that are ready now."""
        capacity = Capacity(slots=count, sync_slots=count, async_slots=0, free_mb=1 << 20, total_mb=1 << 20)
        reserved = await self._queue.reserve(capacity, self.incarnation)
        return [
            Taken(one, decode_call(one.ticket.message))
            for one in reserved.reservations
            if one.ticket is not None
        ]

    async def reply(self, taken: Taken, outcome: Outcome, claimed_at: datetime | None = None) -> Acked:
        message = encode_reply(SyncReply(id=taken.call.id, outcome=outcome, claimed_at=claimed_at))
        return await self._queue.reply(taken.reservation, message)

    async def answer_next(self, **fields: Any) -> Taken:
        """Take the next call and end it well."""
        taken = await self.take()
        assert await self.reply(taken, ended(**fields)) is Acked.ACKED
        return taken
