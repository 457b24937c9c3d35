"""Pause: nothing is handed out, nobody spins, and everything else goes on. And what waiting costs Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.errors import QueuePausedError
from common.queue.base import Acked, Capacity, Extension, Lane
from common.queue.redis import RedisQueue
from common.settings import Settings
from deploy.local import LocalRedis
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, room, sync_entry
from tests.conformance.queue.test_wait import waiting, woken
from tests.polling import eventually

WATCH_S = 1.2
BOTH = [Lane.SYNC, Lane.ASYNC]


async def test_a_paused_queue_hands_out_nothing_and_does_all_else(
    open_queue: OpenQueue, incarnation: UUID
) -> None:
    queue = open_queue()
    await queue.push([entry(1), entry(2), sync_entry()])
    [kept, *_] = (await queue.reserve(room(1), incarnation)).reservations
    for _ in range(2):
        await queue.pause()
    assert (await queue.depth()).is_paused
    assert ids(await queue.reserve(ROOMY, incarnation)) == []
    assert await queue.push([entry(3, delay_ms=1)]) == 1
    assert await queue.extend([kept]) == [Extension.HELD]
    assert await queue.ack([kept]) == [Acked.ACKED]

    async def promoted() -> bool:
        await queue.maintain()
        return (await queue.depth()).delayed == 0

    await eventually(promoted)
    assert is_conserved(await queue.depth())
    for _ in range(2):
        await queue.resume()
    assert not (await queue.depth()).is_paused
    assert len(ids(await queue.reserve(ROOMY, incarnation))) == 3


async def test_a_paused_queue_keeps_no_sync_call_waiting(queue: RedisQueue, incarnation: UUID) -> None:
    running, *waiting_calls = [sync_entry() for _ in range(1200)]
    await queue.push([running, *waiting_calls, entry(1)])
    [held] = (await queue.reserve(room(1), incarnation)).reservations
    await queue.pause()
    depth = await queue.depth()
    assert (depth.ready_sync, depth.dead, depth.leased, sum(depth.ready)) == (0, 1199, 1, 1)
    for refused in ([sync_entry()], [entry(2), sync_entry()]):
        with pytest.raises(QueuePausedError):
            await queue.push(refused)
    assert await queue.push([running]) == 0, "it is here already"
    await queue.release([held])
    await queue.maintain()
    assert (await queue.depth()).dead == 1200
    assert {call.deliveries for call in await queue.dead(9)} == {0}
    await queue.resume()
    assert await queue.push([sync_entry()]) == 1
    assert is_conserved(await queue.depth())


async def test_nothing_arms_wake_tokens_while_paused(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    calls = [entry(order_no) for order_no in range(4)]
    await queue.push([*calls, sync_entry()])
    reserved = await queue.reserve(room(2, sync=0), incarnation)
    await queue.pause()
    await queue.release(reserved.reservations[:1])
    await queue.release_incarnation(incarnation)
    await queue.push([entry(9), entry(10, delay_ms=1), entry(11, delay_ms=60_000)])
    await eventually(queue.maintain)
    await queue.reserve(ROOMY, incarnation)
    assert await admin.exists(queue._keys.wake_sync, queue._keys.wake_async) == 0


async def test_resume_wakes_as_many_waiters_as_there_are_calls(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis
) -> None:
    await queue.pause()
    await queue.push([entry(order_no) for order_no in range(4)])
    async with waiting(admin, *(open_queue() for _ in range(4))) as tasks:
        assert not any(task.done() for task in tasks)
        await queue.resume()
        await woken(tasks)


async def test_resume_leaves_at_most_64_tokens_and_none_for_nothing(queue: RedisQueue, admin: Redis) -> None:
    wake = queue._keys.wake_async
    await queue.pause()
    await queue.resume()
    assert await admin.llen(wake) == 0
    await queue.pause()
    await queue.push([entry(order_no) for order_no in range(100)])
    await queue.resume()
    await queue.resume()
    assert await admin.llen(wake) == 64


async def work(queue: RedisQueue, capacity: Capacity, incarnation: UUID) -> None:
    """A worker that finds nothing to do: it reserves, and waits as long as it was told to."""
    while True:
        reserved = await queue.reserve(capacity, incarnation)
        assert ids(reserved) == []
        await queue.wait(BOTH, 5 if reserved.next_ms is None else reserved.next_ms / 1000)


@asynccontextmanager
async def commands_counted(admin: Redis) -> AsyncIterator[dict[str, int]]:
    """How often clients and scripts ran each command meanwhile, but for the counting itself."""
    before, counted = await admin.info("commandstats"), dict[str, int]()
    yield counted
    for name, stats in (await admin.info("commandstats")).items():
        if (calls := stats["calls"] - before.get(name, {"calls": 0})["calls"]) and name != "cmdstat_info":
            counted[name.removeprefix("cmdstat_")] = calls


async def test_a_worker_with_nothing_to_do_sends_less_than_a_command_a_second(
    own_redis: LocalRedis, own_admin: Redis, incarnation: UUID
) -> None:
    """Whatever the reason; each in a queue of its own, all of them watched at once."""
    capacity = room(5, free_mb=10, total_mb=1000)
    queues = {
        why: RedisQueue.open(Settings(redis_url=own_redis.url, queue_name=why))
        for why in ("idle", "paused", "no-room", "never-fits", "delayed", "leased")
    }
    await queues["paused"].pause()
    await queues["paused"].push([entry(1, memory_mb=1)])
    await queues["no-room"].push([entry(1, memory_mb=500), sync_entry(memory_mb=500)])
    await queues["never-fits"].push([entry(1, memory_mb=5000), sync_entry(memory_mb=5000)])
    await queues["delayed"].push([entry(1, delay_ms=3_600_000)])
    await queues["leased"].push([entry(1, memory_mb=1)])
    await queues["leased"].reserve(capacity, incarnation)
    workers = [
        asyncio.create_task(work(queue, capacity, incarnation)) for queue in queues.values() for _ in range(3)
    ]

    async def all_blocked() -> bool:
        return int((await own_admin.info("clients"))["blocked_clients"]) == len(workers)

    await eventually(all_blocked)
    async with commands_counted(own_admin) as counted:
        await asyncio.sleep(WATCH_S)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for queue in queues.values():
        await queue.aclose()
    assert sum(counted.values()) < len(queues), counted
