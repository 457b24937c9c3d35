"""Priority, first in first out, delay, and the exact place of what comes back."""

import random
from uuid import UUID

from common.models import new_id
from common.queue.redis import RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, slots
from tests.polling import eventually


async def expire_all(queue: RedisQueue) -> None:
    async def expired() -> bool:
        depth = await queue.depth()
        return depth.leased == depth.expired

    await eventually(expired)


async def test_higher_priority_first_then_first_in_first_out(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no, priority) for order_no, priority in enumerate([0, 1, 2, 0, 1, 2])]
    await queue.push(calls)
    expected = [calls[i].id for i in (2, 5, 1, 4, 0, 3)]
    assert ids(await queue.reserve(slots(2), incarnation)) == expected[:2]
    assert ids(await queue.reserve(ROOMY, incarnation)) == expected[2:]


async def test_a_later_call_of_higher_priority_overtakes(queue: RedisQueue, incarnation: UUID) -> None:
    low, high = entry(1, 0), entry(2, 1)
    await queue.push([low])
    await queue.push([high])
    assert ids(await queue.reserve(slots(1), incarnation)) == [high.id]


async def test_places_are_exact_up_to_the_end_of_a_level(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(2**50 - 1 - i, priority) for priority in (2, 1, 0) for i in (2, 1, 0)]
    await queue.push(random.Random(1).sample(calls, len(calls)))
    reserved = await queue.reserve(ROOMY, incarnation)
    await queue.release(reserved.reservations)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [call.id for call in calls]


async def test_of_two_workers_calls_the_expired_one_returns_before_a_later_one(open_queue: OpenQueue) -> None:
    queue, hasty = open_queue(), open_queue(lease_s=0.05)
    a, b, c = (entry(order_no) for order_no in (1, 2, 3))
    await queue.push([a, b, c])
    assert ids(await hasty.reserve(slots(1), new_id())) == [a.id]
    second = await queue.reserve(slots(1), new_id())
    assert ids(second) == [b.id]
    await queue.ack(second.reservations)
    await expire_all(queue)
    assert ids(await queue.reserve(slots(2), new_id())) == [a.id, c.id]


async def test_an_expired_call_returns_to_the_middle(open_queue: OpenQueue, incarnation: UUID) -> None:
    queue, hasty = open_queue(), open_queue(lease_s=0.05)
    a, b, c = (entry(order_no) for order_no in (1, 2, 3))
    await queue.push([b])
    await hasty.reserve(slots(1), incarnation)
    await queue.push([c, a])
    await expire_all(queue)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [a.id, b.id, c.id]


async def test_500_leases_expire_together_and_the_order_of_all_is_restored(
    open_queue: OpenQueue, incarnation: UUID
) -> None:
    queue, hasty = open_queue(), open_queue(lease_s=0.05)
    calls = [entry(order_no, priority=order_no % 3) for order_no in range(500)]
    random.Random(2).shuffle(calls)  # so that no other order, such as that of the ids, is the right one
    await queue.push(calls)
    assert len(ids(await hasty.reserve(ROOMY, incarnation))) == 500
    await expire_all(queue)
    calls.sort(key=lambda call: (-call.priority, call.order_no))
    assert ids(await queue.reserve(slots(10), incarnation)) == [call.id for call in calls[:10]]
    assert ids(await queue.reserve(ROOMY, incarnation)) == [call.id for call in calls[10:]]


async def test_a_released_call_returns_to_its_place(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no) for order_no in range(5)]
    await queue.push(calls)
    reserved = await queue.reserve(slots(3), incarnation)
    assert await queue.release(reserved.reservations[:2]) == [True, True]
    assert ids(await queue.reserve(ROOMY, incarnation)) == [calls[i].id for i in (0, 1, 3, 4)]


async def test_a_rebuild_in_any_order_gives_the_same_places(open_queue: OpenQueue, incarnation: UUID) -> None:
    queue = open_queue()
    calls = [entry(order_no, priority) for order_no in range(20) for priority in (2, 1, 0)]
    calls.sort(key=lambda call: (-call.priority, call.order_no))
    for call in random.Random(3).sample(calls, len(calls)):
        await queue.push([call])
    assert ids(await queue.reserve(ROOMY, incarnation)) == [call.id for call in calls]


async def test_a_delayed_call_waits_and_then_takes_its_place(queue: RedisQueue, incarnation: UUID) -> None:
    delayed, later = entry(1, delay_ms=150), entry(2)
    await queue.push([delayed, later])
    depth = await queue.depth()
    assert (depth.ready, depth.delayed, depth.due) == ((1, 0, 0), 1, 0)
    early = await queue.reserve(slots(1), incarnation)
    assert ids(early) == [later.id]
    assert early.next_ms is not None
    assert 0 < early.next_ms <= 150
    await queue.release(early.reservations)

    async def due() -> int:
        return (await queue.depth()).due

    await eventually(due)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [delayed.id, later.id]


async def test_500_calls_due_together_come_by_place(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no, delay_ms=1) for order_no in range(500)]
    await queue.push(random.Random(4).sample(calls, len(calls)))

    async def all_due() -> bool:
        return (await queue.depth()).due == 500

    await eventually(all_due)
    assert ids(await queue.reserve(slots(50), incarnation)) == [call.id for call in calls[:50]]


async def test_a_call_released_with_a_delay_returns_to_its_place_after_it(
    queue: RedisQueue, incarnation: UUID
) -> None:
    first, second = entry(1), entry(2)
    await queue.push([first, second])
    reserved = await queue.reserve(slots(1), incarnation)
    await queue.release(reserved.reservations, delay_ms=50)
    peek = await queue.reserve(slots(1), incarnation)
    assert ids(peek) == [second.id]
    await queue.release(peek.reservations)

    async def promoted() -> bool:
        await queue.maintain()
        return (await queue.depth()).ready == (2, 0, 0)

    await eventually(promoted)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [first.id, second.id]
