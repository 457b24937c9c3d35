"""Sync calls: one reply at most, always somebody to give it, and nothing of them stays."""

from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.models import QueueEntry, SyncTicket
from common.queue.base import Acked, Cancelled, DeadCall, Extension, Reservation, Trace, Withdrawn
from common.queue.redis import RedisQueue
from tests.conformance.queue.entries import MINUTE_MS, ROOMY, entry, ids, is_conserved, room, sync_entry
from tests.conformance.queue.test_ancestor import expire
from tests.polling import eventually


def ticket_of(call: QueueEntry) -> SyncTicket:
    assert call.ticket is not None
    return call.ticket


async def left_for(queue: RedisQueue, admin: Redis, call: QueueEntry) -> list[bytes]:
    """The replies that nobody has fetched yet."""
    left: Any = await admin.lrange(queue._keys.replies_to(ticket_of(call).reply_to), 0, -1)
    return list(left)


async def tickets(queue: RedisQueue, admin: Redis) -> int:
    numbers = {await admin.hlen(queue._keys.sync), await admin.hlen(queue._keys.message)}
    [number] = numbers
    return number


async def wait_ends(queue: RedisQueue, admin: Redis, *calls: QueueEntry) -> None:
    """The calls' waits are over: their deadlines are long past."""
    for call in calls:
        ticket = await admin.hget(queue._keys.sync, call.id.bytes)
        assert isinstance(ticket, bytes)
        await admin.hset(queue._keys.sync, call.id.bytes, bytes(8) + ticket[8:])


async def reserve_one(queue: RedisQueue, incarnation: UUID) -> Reservation:
    [reservation] = (await queue.reserve(ROOMY, incarnation)).reservations
    return reservation


async def test_a_sync_call_comes_with_its_ticket_and_what_is_left_of_its_wait(
    queue: RedisQueue, incarnation: UUID
) -> None:
    first, second, other = sync_entry(message=bytes(range(256))), sync_entry(message=b""), entry(1)
    await queue.push([first, other, second])
    found = (await queue.reserve(ROOMY, incarnation)).reservations
    assert [each.id for each in found] == [first.id, second.id, other.id]
    for call, reservation in zip((first, second), found, strict=False):
        ticket = reservation.ticket
        assert ticket is not None
        assert (ticket.reply_to, ticket.message) == (ticket_of(call).reply_to, ticket_of(call).message)
        assert MINUTE_MS - 10_000 < ticket.ttl_ms <= MINUTE_MS
    assert found[2].ticket is None


async def test_a_reply_is_left_once_and_only_with_the_token(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    old = await reserve_one(queue, incarnation)
    await queue.release([old])
    held = await reserve_one(queue, incarnation)
    assert await queue.reply(old, b"old") is Acked.NOT_RESERVED
    assert await left_for(queue, admin, call) == []
    assert await queue.reply(held, b"new") is Acked.ACKED
    assert await queue.reply(held, b"again") is Acked.UNKNOWN
    assert await left_for(queue, admin, call) == [b"new"]
    assert ((await queue.depth()).calls, await tickets(queue, admin)) == (0, 0)


async def test_an_async_call_takes_no_reply(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(1)])
    with pytest.raises(ValueError, match="no ticket"):
        await queue.reply(await reserve_one(queue, incarnation), b"")


async def test_a_reply_that_nobody_fetches_is_forgotten_after_a_minute(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    await queue.reply(await reserve_one(queue, incarnation), b"late")
    left_ms = await admin.pttl(queue._keys.replies_to(ticket_of(call).reply_to))
    assert MINUTE_MS - 10_000 < left_ms <= MINUTE_MS


@pytest.mark.parametrize("how", ["expiry", "incarnation"])
async def test_a_call_that_lost_its_worker_is_dead_with_its_ticket_and_buried_with_a_reply(
    queue: RedisQueue, admin: Redis, incarnation: UUID, how: str
) -> None:
    call = sync_entry(message=b"the call")
    await queue.push([call])
    held = await reserve_one(queue, incarnation)
    if how == "incarnation":
        await queue.release_incarnation(incarnation)
    else:
        await expire(admin, queue)
        await queue.maintain()
    [dead] = await queue.dead(9)
    assert dead.ticket is not None
    assert (dead.id, dead.deliveries, dead.ticket.message) == (call.id, 1, b"the call")
    assert dead.ticket.reply_to == ticket_of(call).reply_to
    assert 0 < dead.ticket.ttl_ms <= MINUTE_MS
    assert await queue.reply(held, b"too late") is Acked.NOT_RESERVED
    assert await queue.bury_replied(dead, b"worker lost")
    assert not await queue.bury_replied(dead, b"twice")
    assert await queue.reply(held, b"too late") is Acked.UNKNOWN
    assert await left_for(queue, admin, call) == [b"worker lost"]
    assert ((await queue.depth()).calls, await tickets(queue, admin)) == (0, 0)


async def test_only_the_dead_are_buried_with_a_reply(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    assert not await queue.bury_replied(DeadCall(id=call.id, deliveries=0, ticket=call.ticket), b"no")
    await reserve_one(queue, incarnation)
    assert not await queue.bury_replied(DeadCall(id=call.id, deliveries=1, ticket=call.ticket), b"no")
    assert await left_for(queue, admin, call) == []
    with pytest.raises(ValueError, match="no ticket"):
        await queue.bury_replied(DeadCall(id=call.id, deliveries=1), b"no")


async def test_a_call_buried_without_a_reply_leaves_nothing(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    await reserve_one(queue, incarnation)
    await queue.release_incarnation(incarnation)
    await queue.bury([call.id])
    assert (await tickets(queue, admin), await left_for(queue, admin, call)) == (0, [])


async def test_an_ack_and_a_cancel_take_the_ticket_along(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    running, waiting, other = sync_entry(), sync_entry(), entry(1)
    await queue.push([running, waiting, other])
    found = await queue.reserve(room(1), incarnation)
    assert await queue.cancel([waiting.id, other.id]) == [Cancelled.REMOVED] * 2
    assert await tickets(queue, admin) == 1
    assert await queue.ack(found.reservations) == [Acked.ACKED]
    assert await tickets(queue, admin) == 0


async def test_a_cancelled_call_may_still_be_replied(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    held = await reserve_one(queue, incarnation)
    assert await queue.cancel([call.id]) == [Cancelled.REQUESTED]
    assert await queue.reply(held, b"cancelled") is Acked.ACKED
    assert await left_for(queue, admin, call) == [b"cancelled"]


async def test_a_call_whose_wait_is_over_is_never_reserved(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    late, call, other = sync_entry(ttl_ms=0, message=b"late"), sync_entry(), entry(1)
    await queue.push([late, call, other])
    reserved = await queue.reserve(ROOMY, incarnation)
    assert ids(reserved) == [call.id, other.id]
    assert not reserved.has_left
    assert await queue.dead(9) == [
        DeadCall(
            id=late.id,
            deliveries=0,
            ticket=SyncTicket(reply_to=ticket_of(late).reply_to, ttl_ms=0, message=b"late"),
        )
    ]
    assert is_conserved(await queue.depth())


async def test_maintenance_buries_calls_whose_wait_is_over(queue: RedisQueue, admin: Redis) -> None:
    late, call = [sync_entry(ttl_ms=0) for _ in range(300)], sync_entry()
    await queue.push([*late[:100], call, *late[100:], entry(1)])
    rounds = 1
    while await queue.maintain() == 0:
        rounds += 1
        depth = await queue.depth()
        assert depth.dead <= 128 * rounds
    assert rounds == 3
    depth = await queue.depth()
    assert (depth.dead, depth.ready_sync, sum(depth.ready)) == (300, 1, 1)


async def test_sync_calls_that_ended_are_known_for_a_minute(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call, withdrawn = sync_entry(), sync_entry()
    await queue.push([call])
    await queue.reply(await reserve_one(queue, incarnation), b"x")
    assert await queue.withdraw([call.id, withdrawn.id], is_unheard=False) == [
        Withdrawn.ENDED,
        Withdrawn.WITHDRAWN,
    ]
    await queue.maintain()
    for one in (call, withdrawn):
        assert await queue.push([one]) == 0, "its push came late"
        assert await queue.trace(one.id) is Trace.ENDED
        await admin.zincrby(queue._keys.ended, -MINUTE_MS, one.id.bytes)
        assert await queue.trace(one.id) is Trace.UNKNOWN
    await queue.maintain()
    assert await admin.exists(queue._keys.ended) == 0


async def test_the_reply_of_a_call_whose_api_has_ended_is_left_to_nobody(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    held = await reserve_one(queue, incarnation)
    assert await queue.withdraw([call.id], is_unheard=True) == [Withdrawn.RUNNING]
    assert await queue.extend([held]) == [Extension.HELD]
    assert await queue.reply(held, b"x") is Acked.UNHEARD
    assert await left_for(queue, admin, call) == []


async def test_any_number_of_late_calls_stand_in_nobodys_way(queue: RedisQueue, incarnation: UUID) -> None:
    late, call, other = [sync_entry(ttl_ms=0) for _ in range(200)], sync_entry(), entry(1)
    await queue.push([*late, call, other])
    reserved = await queue.reserve(room(2), incarnation)
    assert ids(reserved) == [call.id, other.id]
    assert (await queue.depth()).dead == 200


async def test_too_many_late_calls_for_one_reserve_leave_word(
    queue: RedisQueue, admin: Redis, incarnation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.queue.redis.RESTORE_ROUNDS", 1)
    await queue.push([*(sync_entry(ttl_ms=0) for _ in range(60)), call := sync_entry(), other := entry(1)])
    reserved = await queue.reserve(room(2), incarnation)
    assert (ids(reserved), reserved.has_left) == ([other.id], True)
    assert await admin.llen(queue._keys.wake_sync) > 0
    assert ids(await queue.reserve(room(2), incarnation)) == [call.id]
    assert (await queue.depth()).dead == 60


async def test_a_released_call_keeps_its_ticket_and_its_deadline(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    first = await reserve_one(queue, incarnation)
    await queue.release([first])
    again = await reserve_one(queue, incarnation)
    assert first.ticket is not None
    assert again.ticket is not None
    assert (again.ticket.message, again.deliveries) == (b"sync", 1)
    assert again.ticket.ttl_ms <= first.ticket.ttl_ms
    await wait_ends(queue, admin, call)
    await queue.release([again])
    assert ids(await queue.reserve(ROOMY, incarnation)) == []
    assert [(dead.id, dead.deliveries) for dead in await queue.dead(9)] == [(call.id, 0)]


async def test_a_running_call_may_outlast_its_wait(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = sync_entry()
    await queue.push([call])
    held = await reserve_one(queue, incarnation)
    await wait_ends(queue, admin, call)
    await queue.maintain()
    assert await queue.reply(held, b"done") is Acked.ACKED


async def test_a_push_repeated_changes_no_ticket(queue: RedisQueue, incarnation: UUID) -> None:
    call = sync_entry(message=b"first")
    other = QueueEntry(
        id=call.id, order_no=0, priority=0, delay_ms=0, memory_mb=1, ticket=sync_entry(message=b"x").ticket
    )
    new = sync_entry(message=b"new")
    assert await queue.push([call, other]) == 1
    assert await queue.push([other, new, entry(1)]) == 2
    messages = [
        each.ticket and each.ticket.message for each in (await queue.reserve(ROOMY, incarnation)).reservations
    ]
    assert messages == [b"first", b"new", None]


async def test_has_left_says_whether_more_capacity_would_take_more(
    queue: RedisQueue, incarnation: UUID
) -> None:
    async def has_left(**lanes: int) -> bool:
        return (await queue.reserve(room(1, **lanes), incarnation)).has_left

    assert not await has_left()
    await queue.push([sync_entry(), entry(1), entry(2)])
    assert not await has_left(sync=1, others=0), "the async lane was not asked for"
    assert await has_left()
    assert not await has_left()
    await queue.push([entry(3, memory_mb=10)])
    assert await has_left(free_mb=5)
    await queue.pause()
    assert not await has_left(), "nobody gets any"


async def test_dead_calls_with_large_messages_come_a_few_at_a_time(
    queue: RedisQueue, incarnation: UUID
) -> None:
    calls = [sync_entry(ttl_ms=0, message=bytes(10 * 2**20)) for _ in range(3)]
    for call in calls:
        await queue.push([call])
    await queue.maintain()
    seen = []
    while dead := await queue.dead(9):
        assert len(dead) == 1
        seen.append(dead[0].id)
        assert await queue.bury_replied(dead[0], b"")
    assert set(seen) == {call.id for call in calls}


async def test_a_seeded_token_is_smaller_than_every_later_one(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(1), entry(2)])
    [first] = (await queue.reserve(room(1), incarnation)).reservations
    await queue.seed_token(1)
    far = first.token + 10**12
    await queue.seed_token(far)
    await queue.seed_token(first.token)
    [second] = (await queue.reserve(room(1), incarnation)).reservations
    assert second.token == far + 1


async def test_nothing_of_sync_calls_stays(queue: RedisQueue, admin: Redis, incarnation: UUID) -> None:
    await queue.push([sync_entry() for _ in range(1200)])

    async def empty() -> bool:
        for held in (await queue.reserve(ROOMY, incarnation)).reservations:
            await queue.reply(held, b"x")
        return (await queue.depth()).calls == 0

    await eventually(empty)
    assert await tickets(queue, admin) == 0
