"""Waiting without polling: woken by what can be reserved, and by nothing lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.queue.base import Lane, Reserved
from common.queue.redis import RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, room, slots
from tests.polling import eventually

LONG_S = 4.0  # shorter than the wait's own limit: a waiter that was not woken fails the deadline below
SOON_S = 2.0
NO_ROOM = room(5, free_mb=100, total_mb=1000)


async def blocked(admin: Redis) -> list[str]:
    """The ids of the connections that sit in a blocking wait."""
    return [client["id"] for client in await admin.client_list() if "b" in client["flags"]]


@asynccontextmanager
async def waiting(
    admin: Redis, *queues: RedisQueue, beside: int = 0
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """A waiter on each of *queues*, once they all are blocked; those that still wait at the end are cancelled.

    *beside*: how many others wait already."""
    tasks = [asyncio.create_task(queue.wait([Lane.ASYNC], LONG_S)) for queue in queues]

    async def all_blocked() -> bool:
        return len(await blocked(admin)) == len(queues) + beside

    try:
        await eventually(all_blocked)
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def woken(tasks: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*tasks)


async def test_a_push_wakes_a_waiter(queue: RedisQueue, admin: Redis) -> None:
    async with waiting(admin, queue) as tasks:
        await queue.push([entry(1)])
        await woken(tasks)


async def test_a_push_before_the_wait_is_not_missed(queue: RedisQueue, incarnation: UUID) -> None:
    assert ids(await queue.reserve(ROOMY, incarnation)) == []
    await queue.push([entry(1)])
    async with asyncio.timeout(SOON_S):
        await queue.wait([Lane.ASYNC], LONG_S)


async def test_a_bulk_push_wakes_many_waiters(queue: RedisQueue, open_queue: OpenQueue, admin: Redis) -> None:
    async with waiting(admin, *(open_queue() for _ in range(5))) as tasks:
        await queue.push([entry(order_no) for order_no in range(10)])
        await woken(tasks)


async def test_what_one_reserve_leaves_wakes_the_next_waiter(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([entry(order_no) for order_no in range(200)])  # more than there are wake tokens
    for _ in range(100):
        async with asyncio.timeout(SOON_S):
            await queue.wait([Lane.ASYNC], LONG_S)
        assert len(ids(await queue.reserve(slots(2), incarnation))) == 2
    async with waiting(admin, queue) as tasks:
        assert not tasks[0].done(), "an empty queue leaves no token behind"


async def by_release(queue: RedisQueue, reserved: Reserved, _: UUID) -> None:
    await queue.release(reserved.reservations)


async def by_delayed_release(queue: RedisQueue, reserved: Reserved, _: UUID) -> None:
    await queue.release(reserved.reservations, delay_ms=1000)


async def by_dead_incarnation(queue: RedisQueue, _: Reserved, incarnation: UUID) -> None:
    await queue.release_incarnation(incarnation)


async def by_a_nearer_due_time(queue: RedisQueue, _: Reserved, __: UUID) -> None:
    await queue.push([entry(2, delay_ms=1000)])


@pytest.mark.parametrize(
    "happens", [by_release, by_delayed_release, by_dead_incarnation, by_a_nearer_due_time]
)
async def test_a_waiter_is_woken(
    happens: Callable[[RedisQueue, Reserved, UUID], Coroutine[None, None, None]],
    queue: RedisQueue,
    open_queue: OpenQueue,
    admin: Redis,
    incarnation: UUID,
) -> None:
    await queue.push([entry(1)])
    reserved = await queue.reserve(ROOMY, incarnation)
    async with waiting(admin, open_queue()) as tasks:
        await happens(queue, reserved, incarnation)
        await woken(tasks)


async def test_maintenance_wakes_waiters(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    hasty = open_queue(lease_s=0.3)
    await queue.push([entry(1)])
    await hasty.reserve(ROOMY, incarnation)
    async with waiting(admin, queue) as tasks:

        async def restored() -> bool:
            await hasty.maintain()
            return sum((await hasty.depth()).ready) == 1

        await eventually(restored)
        await woken(tasks)


async def test_a_wait_ends_after_its_time(queue: RedisQueue) -> None:
    async with asyncio.timeout(SOON_S):
        await queue.wait([Lane.ASYNC, Lane.SYNC], 0.05)
        await queue.wait([Lane.ASYNC], 0)


async def test_a_lane_that_was_not_asked_for_wakes_nobody(queue: RedisQueue, admin: Redis) -> None:
    task = asyncio.create_task(queue.wait([Lane.SYNC], 0.3))
    await eventually(lambda: blocked(admin))
    await queue.push([entry(1)])
    assert not task.done()
    await task


async def test_a_cancelled_wait_leaves_no_connection_and_loses_no_call(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = entry(1)
    async with waiting(admin, queue) as tasks:
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def nobody() -> bool:
        return not await blocked(admin)

    await eventually(nobody)
    async with waiting(admin, queue) as tasks:
        await queue.push([call])
        await woken(tasks)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [call.id]


async def test_waits_cancelled_at_any_moment_do_no_harm(queue: RedisQueue, admin: Redis) -> None:
    for turns in range(40):
        task = asyncio.create_task(queue.wait([Lane.ASYNC], LONG_S))
        for _ in range(turns % 20):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    async with waiting(admin, queue) as tasks:
        await queue.push([entry(1)])
        await woken(tasks)


async def test_a_killed_connection_wakes_its_waiter_and_is_replaced(queue: RedisQueue, admin: Redis) -> None:
    async with waiting(admin, queue) as tasks:
        for client_id in await blocked(admin):
            await admin.client_kill_filter(_id=client_id)
        await woken(tasks)
    async with waiting(admin, queue) as tasks:
        await queue.push([entry(1)])
        await woken(tasks)


async def test_a_worker_without_room_passes_the_news_on(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    cramped, roomy = open_queue(), open_queue()
    # The cramped one waits longest, so it is woken first.
    async with waiting(admin, cramped) as first, waiting(admin, roomy, beside=1) as second:
        await queue.push([entry(1, memory_mb=900)])
        await woken(first)
        assert not second[0].done()
        assert ids(await cramped.reserve(NO_ROOM, incarnation)) == []
        await woken(second)
    assert len(ids(await roomy.reserve(ROOMY, incarnation))) == 1


@pytest.mark.parametrize("memory_mb", [900, 4000], ids=["fits later", "never fits here"])
async def test_a_worker_without_room_does_not_wake_itself(
    queue: RedisQueue, admin: Redis, incarnation: UUID, memory_mb: int
) -> None:
    await queue.push([entry(order_no, memory_mb=memory_mb) for order_no in range(3)])
    for _ in range(5):
        assert ids(await queue.reserve(NO_ROOM, incarnation)) == []
        await queue.wait([Lane.ASYNC], 0.01)
    async with waiting(admin, queue) as tasks:
        assert not tasks[0].done()
        await queue.push([entry(9, priority=1, memory_mb=10)])
        await woken(tasks)
    assert len(ids(await queue.reserve(NO_ROOM, incarnation))) == 1


async def test_a_worker_that_waits_while_it_reserves_does_not_keep_the_word_for_itself(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([entry(1, memory_mb=900), entry(2, memory_mb=10)])
    busy, other = open_queue(), open_queue()
    for each in (busy, other):
        assert ids(await each.reserve(NO_ROOM, incarnation)) == []
        await each.wait([Lane.ASYNC], LONG_S)  # the tokens of the push
    # The busy one waits longest: the token that it leaves comes back to it.
    async with waiting(admin, busy) as first, waiting(admin, other, beside=1) as second:
        taken = await busy.reserve(room(1, free_mb=950, total_mb=1000), incarnation)
        assert (len(taken.reservations), taken.has_left) == (1, True)
        await woken([*first, *second])
    assert len(ids(await other.reserve(NO_ROOM, incarnation))) == 1
