"""Cancel: waiting calls go at once, running ones are told, and a flag lives no longer than its lease."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.models import new_id
from common.queue.base import Acked, Cancelled, Extension
from common.queue.redis import RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, room, sync_entry
from tests.polling import eventually


@asynccontextmanager
async def listening(queue: RedisQueue, admin: Redis) -> AsyncIterator[asyncio.Queue[UUID]]:
    """What `cancellations` yields, once it listens."""
    heard: asyncio.Queue[UUID] = asyncio.Queue()

    async def listen() -> None:
        async for call_id in queue.cancellations():
            heard.put_nowait(call_id)

    task = asyncio.create_task(listen())
    try:
        await eventually(lambda: listeners(queue, admin))
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def listeners(queue: RedisQueue, admin: Redis) -> int:
    [(_, count)] = await admin.pubsub_numsub(queue._keys.cancelled)
    return int(count)


async def hears(heard: asyncio.Queue[UUID]) -> UUID:
    async with asyncio.timeout(5):
        return await heard.get()


async def test_waiting_calls_are_gone_at_once(queue: RedisQueue, incarnation: UUID) -> None:
    ready, delayed, sync, kept = entry(1), entry(2, delay_ms=60_000), sync_entry(), entry(3)
    await queue.push([ready, delayed, sync, kept])
    found = await queue.cancel([ready.id, delayed.id, sync.id, new_id()])
    assert found == [*[Cancelled.REMOVED] * 3, Cancelled.UNKNOWN]
    assert await queue.cancel([ready.id]) == [Cancelled.UNKNOWN]
    assert ids(await queue.reserve(ROOMY, incarnation)) == [kept.id]
    assert (await queue.depth()).calls == 1


async def test_a_running_call_is_flagged_until_it_is_acked(queue: RedisQueue, incarnation: UUID) -> None:
    call, other = entry(1), entry(2)
    await queue.push([call, other])
    reservations = (await queue.reserve(ROOMY, incarnation)).reservations
    for _ in range(2):
        assert await queue.cancel([call.id]) == [Cancelled.REQUESTED]
        assert await queue.extend(reservations) == [Extension.CANCEL_REQUESTED, Extension.HELD]
    assert await queue.ack(reservations) == [Acked.ACKED] * 2
    await queue.push([call])
    [again] = (await queue.reserve(ROOMY, incarnation)).reservations
    assert await queue.extend([again]) == [Extension.HELD], "the flag went with the ack"


async def by_expiry(queue: RedisQueue, incarnation: UUID) -> None:
    async def restored() -> bool:
        await queue.maintain()
        return (await queue.depth()).leased == 0

    await eventually(restored)


async def by_dead_holder(queue: RedisQueue, incarnation: UUID) -> None:
    assert await queue.release_incarnation(incarnation) == 2


@pytest.mark.parametrize("lose_lease", [by_expiry, by_dead_holder])
async def test_a_cancelled_call_that_loses_its_lease_is_dropped_and_a_sync_one_handed_over(
    lose_lease: Callable[[RedisQueue, UUID], Awaitable[None]], hasty_queue: RedisQueue, incarnation: UUID
) -> None:
    call, sync, later = entry(1), sync_entry(), entry(2)
    await hasty_queue.push([call, sync])
    await hasty_queue.reserve(ROOMY, incarnation)
    await hasty_queue.push([later])
    assert await hasty_queue.cancel([call.id, sync.id]) == [Cancelled.REQUESTED] * 2
    await lose_lease(hasty_queue, incarnation)
    assert [peeked.id for peeked in await hasty_queue.peek(9)] == [later.id]
    assert [dead.id for dead in await hasty_queue.dead(9)] == [sync.id]
    assert await hasty_queue.cancel([sync.id]) == [Cancelled.UNKNOWN], "it is the store's to settle"
    assert is_conserved(await hasty_queue.depth())
    assert await hasty_queue.push([call]) == 1, "what the reconciler does with a call that nobody settled"


@pytest.mark.parametrize("delay_ms", [0, 60_000])
async def test_a_cancelled_call_that_is_released_is_dropped(
    queue: RedisQueue, incarnation: UUID, delay_ms: int
) -> None:
    call, sync, kept = entry(1), sync_entry(), entry(2)
    await queue.push([call, sync, kept])
    reservations = (await queue.reserve(ROOMY, incarnation)).reservations
    await queue.cancel([call.id, sync.id])
    assert await queue.release(reservations, delay_ms) == [True] * 3
    depth = await queue.depth()
    assert (sum(depth.ready) + depth.delayed, depth.dead, depth.calls) == (1, 1, 2)


async def test_a_cancel_is_heard_by_whoever_listens(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    waiting, running = entry(1), [entry(order_no) for order_no in range(2, 5)]
    await queue.push(running)
    await queue.reserve(ROOMY, incarnation)
    await queue.push([waiting])
    async with listening(open_queue(), admin) as heard:
        await queue.cancel([waiting.id, running[0].id, running[2].id])
        assert [await hears(heard), await hears(heard)] == [running[0].id, running[2].id]
        assert heard.empty()


async def test_a_listener_whose_connection_is_killed_listens_again(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    call = entry(1)
    await queue.push([call])
    await queue.reserve(ROOMY, incarnation)
    listener = open_queue()
    async with listening(listener, admin) as heard:
        assert await admin.client_kill_filter(_type="pubsub") == 1
        await eventually(lambda: listeners(listener, admin))
        await queue.cancel([call.id])
        assert await hears(heard) == call.id


async def test_a_listener_that_stops_leaves_no_connection(queue: RedisQueue, admin: Redis) -> None:
    async with listening(queue, admin):
        pass

    async def nobody() -> bool:
        return await listeners(queue, admin) == 0

    await eventually(nobody)
    assert not queue._link.waits.connection_pool._in_use_connections


async def test_500_calls_are_cancelled_in_one_step(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no) for order_no in range(1000)]
    await queue.push(calls)
    await queue.reserve(room(250), incarnation)
    found = await queue.cancel([call.id for call in calls])
    assert found == [Cancelled.REQUESTED] * 250 + [Cancelled.REMOVED] * 750
