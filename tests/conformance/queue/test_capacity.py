"""Reserve takes what the worker has room for, in order, and nothing else."""

from uuid import UUID

from common.queue.redis import LOOK_AHEAD, RedisQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, room, slots


async def test_never_more_than_the_slots(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(order_no) for order_no in range(5)])
    assert len(ids(await queue.reserve(slots(3), incarnation))) == 3
    assert ids(await queue.reserve(slots(0), incarnation)) == []
    assert (await queue.depth()).leased == 3


async def test_never_more_than_the_free_memory(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no, memory_mb=300) for order_no in range(5)]
    await queue.push(calls)
    reserved = await queue.reserve(room(5, free_mb=700, total_mb=1000), incarnation)
    assert ids(reserved) == [call.id for call in calls[:2]]


async def test_stops_at_a_call_that_fits_only_later(queue: RedisQueue, incarnation: UUID) -> None:
    small, large, tiny = entry(1, memory_mb=100), entry(2, memory_mb=900), entry(3, memory_mb=10)
    await queue.push([small, large, tiny])
    reserved = await queue.reserve(room(5, free_mb=500, total_mb=1000), incarnation)
    assert ids(reserved) == [small.id], "a small call must not starve the large one before it"
    reserved = await queue.reserve(room(5, free_mb=950, total_mb=1000), incarnation)
    assert ids(reserved) == [large.id, tiny.id]


async def test_skips_a_call_that_can_never_fit_here(queue: RedisQueue, incarnation: UUID) -> None:
    giant, small = entry(1, memory_mb=4000), entry(2, memory_mb=100)
    await queue.push([giant, small])
    here = room(5, free_mb=1000, total_mb=1000)
    assert ids(await queue.reserve(here, incarnation)) == [small.id]
    elsewhere = room(5, free_mb=8000, total_mb=8000)
    assert ids(await queue.reserve(elsewhere, incarnation)) == [giant.id]


async def test_looks_past_a_bounded_number_of_giants(queue: RedisQueue, incarnation: UUID) -> None:
    giants = [entry(order_no, memory_mb=4000) for order_no in range(LOOK_AHEAD)]
    first, second = entry(LOOK_AHEAD, memory_mb=1), entry(LOOK_AHEAD + 1, memory_mb=1)
    await queue.push([*giants, first, second])
    here = room(1, free_mb=1000, total_mb=1000)
    assert ids(await queue.reserve(here, incarnation)) == [first.id]
    await queue.push([entry(LOOK_AHEAD - 1, memory_mb=4000)])
    assert ids(await queue.reserve(here, incarnation)) == []
    await queue.reserve(room(1, free_mb=8000, total_mb=8000), incarnation)
    assert ids(await queue.reserve(here, incarnation)) == [second.id]


async def test_next_ms_is_the_nearest_of_due_and_expiry(queue: RedisQueue, incarnation: UUID) -> None:
    assert (await queue.reserve(ROOMY, incarnation)).next_ms is None
    assert await queue.maintain() is None
    await queue.push([entry(1)])
    [reservation] = (reserved := await queue.reserve(ROOMY, incarnation)).reservations
    assert reserved.next_ms == 30_000
    await queue.push([entry(2, delay_ms=5_000)])
    next_ms = (await queue.reserve(ROOMY, incarnation)).next_ms
    assert next_ms is not None
    assert 0 < next_ms <= 5_000
    await queue.ack([reservation])
