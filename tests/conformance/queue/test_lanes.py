"""Sync calls: before every priority, by capacity of their own, and never run twice."""

from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.queue.base import Lane
from common.queue.redis import RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, room, sync_entry
from tests.polling import eventually


async def test_sync_calls_come_first_in_the_order_of_their_pushes(
    queue: RedisQueue, incarnation: UUID
) -> None:
    highest, syncs = entry(0, priority=2), [sync_entry() for _ in range(20)]
    await queue.push([highest, *syncs[:10]])
    await queue.push(syncs[10:])
    assert await queue.push(syncs[3:5]) == 0, "a push repeated takes no new place"
    assert ids(await queue.reserve(ROOMY, incarnation)) == [*(call.id for call in syncs), highest.id]


async def test_each_lane_has_its_slots(queue: RedisQueue, incarnation: UUID) -> None:
    syncs, others = [sync_entry() for _ in range(3)], [entry(order_no) for order_no in range(3)]
    await queue.push([*others, *syncs])
    mixed = await queue.reserve(room(4, sync=1, others=2), incarnation)
    assert ids(mixed) == [syncs[0].id, others[0].id, others[1].id], "a full lane stops nothing"
    await queue.release(mixed.reservations)
    assert ids(await queue.reserve(room(2), incarnation)) == [syncs[0].id, syncs[1].id]
    assert ids(await queue.reserve(room(9, sync=0), incarnation)) == [call.id for call in others]
    assert ids(await queue.reserve(room(9, others=0), incarnation)) == [syncs[2].id]
    assert is_conserved(await queue.depth())


async def test_the_async_lane_has_its_minimum_first_and_no_slot_stays_empty_for_it(
    queue: RedisQueue, incarnation: UUID
) -> None:
    async def reserved(slots: int, first: int, free_mb: int = 10_000) -> list[UUID]:
        capacity = room(slots, others_first=first, free_mb=free_mb, total_mb=10_000)
        return ids(await queue.reserve(capacity, incarnation))

    syncs, others = [sync_entry() for _ in range(12)], [entry(order_no) for order_no in range(3)]
    await queue.push(syncs)
    assert await reserved(4, 1) == [call.id for call in syncs[:4]], "nothing else waits"
    await queue.push(others[:1])
    assert await reserved(4, 2) == [*(call.id for call in syncs[4:7]), others[0].id]
    await queue.push(others[1:])
    assert await reserved(1, 1) == [others[1].id], "the next slot that comes free is its"
    assert await reserved(1, 0) == [syncs[7].id]
    assert await reserved(2, 1, free_mb=200) == [others[2].id], "with the memory for it"
    await queue.push([entry(9, memory_mb=5_000)])
    assert await reserved(2, 1, free_mb=300) == [call.id for call in syncs[8:10]], "it does not fit now"
    assert is_conserved(await queue.depth())


async def test_a_sync_call_that_fits_only_later_stops_everything(
    queue: RedisQueue, incarnation: UUID
) -> None:
    large, small, other = sync_entry(memory_mb=900), sync_entry(memory_mb=1), entry(1, memory_mb=1)
    await queue.push([large, small, other])
    assert ids(await queue.reserve(room(5, free_mb=500, total_mb=1000), incarnation)) == []
    only_async = room(5, sync=0, free_mb=500, total_mb=1000)
    assert ids(await queue.reserve(only_async, incarnation)) == [other.id]
    assert ids(await queue.reserve(room(5, free_mb=950, total_mb=1000), incarnation)) == [large.id, small.id]


async def test_a_sync_call_too_large_for_this_worker_is_skipped(queue: RedisQueue, incarnation: UUID) -> None:
    giant, small, other = sync_entry(memory_mb=4000), sync_entry(memory_mb=1), entry(1, memory_mb=1)
    await queue.push([giant, small, other])
    here = room(5, free_mb=1000, total_mb=1000)
    assert ids(await queue.reserve(here, incarnation)) == [small.id, other.id]


@pytest.mark.parametrize("how", ["expiry", "incarnation"])
async def test_a_sync_call_that_lost_its_worker_is_dead_and_never_restored(
    hasty_queue: RedisQueue, incarnation: UUID, how: str
) -> None:
    sync, other = sync_entry(), entry(1)
    await hasty_queue.push([sync, other])
    await hasty_queue.reserve(ROOMY, incarnation)
    if how == "incarnation":
        assert await hasty_queue.release_incarnation(incarnation) == 2

    async def restored() -> bool:
        await hasty_queue.maintain()
        return (await hasty_queue.depth()).leased == 0

    await eventually(restored)
    assert [dead.id for dead in await hasty_queue.dead(9)] == [sync.id]
    assert ids(await hasty_queue.reserve(ROOMY, incarnation)) == [other.id]


async def test_a_sync_call_given_back_unharmed_keeps_its_place(queue: RedisQueue, incarnation: UUID) -> None:
    first, second = sync_entry(), sync_entry()
    await queue.push([first, second])
    await queue.release((await queue.reserve(room(1), incarnation)).reservations)
    again = await queue.reserve(ROOMY, incarnation)
    assert ids(again) == [first.id, second.id]
    assert [each.deliveries for each in again.reservations] == [1, 1]


async def test_a_lane_that_was_not_asked_for_keeps_its_wake_tokens(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([sync_entry(), entry(1)])
    await queue.reserve(room(5, sync=0), incarnation)
    keys = queue._keys
    assert (await admin.llen(keys.wake_sync), await admin.llen(keys.wake_async)) == (1, 0)
    await queue.wait([Lane.SYNC], 4)
    assert await admin.llen(keys.wake_sync) == 0


async def test_a_worker_filled_by_sync_calls_passes_the_async_news_on(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([entry(1)])
    await queue.wait([Lane.ASYNC], 4)  # takes the token of the async call
    await queue.push([sync_entry()])
    assert len(ids(await queue.reserve(room(1), incarnation))) == 1
    assert await admin.llen(queue._keys.wake_async), "somebody else has to look"


async def test_peek_shows_the_head_and_touches_nothing(queue: RedisQueue, incarnation: UUID) -> None:
    assert await queue.peek(5) == []
    sync, high, low = sync_entry(memory_mb=7), entry(2, priority=2), entry(1)
    await queue.push([low, high, sync, entry(3, delay_ms=60_000)])
    before = await queue.depth()
    seen = await queue.peek(5)
    assert [(each.id, each.priority) for each in seen] == [(sync.id, None), (high.id, 2), (low.id, 0)]
    assert (seen[0].memory_mb, seen[0].deliveries) == (7, 0)
    assert all(0 <= each.ready_ms < 10_000 for each in seen)
    assert [each.id for each in await queue.peek(1)] == [sync.id]
    assert await queue.peek(0) == []
    assert (await queue.depth()).calls == before.calls
    assert ids(await queue.reserve(ROOMY, incarnation)) == [each.id for each in seen]
