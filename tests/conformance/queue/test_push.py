"""Pushing: once per id, all or nothing, never more than allowed."""

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from common.errors import QueueFullError
from common.queue.base import Acked
from common.queue.redis import RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, slots


async def test_a_call_pushed_twice_is_one_call(queue: RedisQueue) -> None:
    call, other = entry(1), entry(2)
    assert await queue.push([call, call, other]) == 2
    assert await queue.push([other, call]) == 0
    assert (await queue.depth()).calls == 2


async def test_pushing_again_changes_nothing(queue: RedisQueue, incarnation: UUID) -> None:
    leased, ready, delayed = entry(1), entry(5), entry(3, delay_ms=60_000)
    await queue.push([leased, ready, delayed])
    reserved = await queue.reserve(slots(1), incarnation)
    again = [replace(call, order_no=9, priority=2, delay_ms=0) for call in (leased, ready, delayed)]
    assert await queue.push(again) == 0
    depth = await queue.depth()
    assert (depth.ready, depth.leased, depth.delayed) == ((1, 0, 0), 1, 1)
    assert await queue.ack(reserved.reservations) == [Acked.ACKED]


async def test_a_push_that_does_not_fit_pushes_nothing(open_queue: OpenQueue) -> None:
    queue = open_queue(queue_max_calls=3)
    calls = [entry(order_no) for order_no in range(4)]
    await queue.push(calls[:2])
    with pytest.raises(QueueFullError):
        await queue.push(calls[2:])
    assert (await queue.depth()).calls == 2
    assert await queue.push([*calls[:2], calls[2]]) == 1, "known calls need no room"


async def test_reserved_calls_still_count_against_the_limit(open_queue: OpenQueue, incarnation: UUID) -> None:
    queue = open_queue(queue_max_calls=1)
    await queue.push([entry(1)])
    reserved = await queue.reserve(ROOMY, incarnation)
    with pytest.raises(QueueFullError):
        await queue.push([entry(2)])
    await queue.ack(reserved.reservations)
    assert await queue.push([entry(2)]) == 1


async def test_nothing_is_a_fine_thing_to_push(queue: RedisQueue) -> None:
    assert await queue.push([]) == 0


async def test_a_long_list_goes_in_whole(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no, delay_ms=60_000 * (order_no % 2)) for order_no in range(1201)]
    assert await queue.push(calls) == 1201
    depth = await queue.depth()
    assert (depth.ready, depth.delayed) == ((601, 0, 0), 600)
    reserved = await queue.reserve(ROOMY, incarnation)
    assert ids(reserved) == [call.id for call in calls[0:1000:2]]


async def test_many_pushers_at_once_lose_nothing(open_queue: OpenQueue) -> None:
    queues = [open_queue() for _ in range(4)]
    calls = [entry(order_no) for order_no in range(400)]
    new = await asyncio.gather(
        *(queues[i % 4].push(calls[i : i + 40]) for i in range(0, 400, 20)),
    )
    depth = await queues[0].depth()
    assert sum(new) == depth.calls == 400
    assert is_conserved(depth)


async def test_the_age_of_the_oldest_ready_call(queue: RedisQueue, incarnation: UUID) -> None:
    assert (await queue.depth()).oldest_ready_ms is None
    await queue.push([entry(1, delay_ms=60_000)])
    assert (await queue.depth()).oldest_ready_ms is None
    await queue.push([entry(2)])
    age_ms = (await queue.depth()).oldest_ready_ms
    assert age_ms is not None
    assert 0 <= age_ms < 10_000
