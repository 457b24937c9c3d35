"""What the queue does when Redis is flushed, full, restarted, replaced or away."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.errors import EvictingRedisError, QueueFullError, QueueLostError, QueueUnavailableError
from common.models import SyncTicket, new_id
from common.queue.base import Acked, DeadCall, Extension, Lane, Reservation
from common.queue.redis import RedisQueue
from common.settings import Settings
from deploy.local import LocalRedis
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, slots, sync_entry
from tests.conformance.queue.test_pause import commands_counted
from tests.polling import eventually

TICKET = SyncTicket(reply_to=UUID(int=2), ttl_ms=1, message=b"")
NOBODY = Reservation(id=UUID(int=1), token=1, deliveries=1, expires_at_ms=0, ticket=TICKET)


async def test_tokens_grow_over_flushall(own_queue: RedisQueue, own_admin: Redis, incarnation: UUID) -> None:
    calls = [entry(order_no) for order_no in range(3)]
    await own_queue.push(calls)
    before = (await own_queue.reserve(slots(2), incarnation)).reservations
    await own_admin.flushall()
    assert await own_queue.extend(before) == [Extension.UNKNOWN] * 2
    assert await own_queue.push([calls[2], calls[0], calls[1]]) == 3
    after = await own_queue.reserve(slots(2), incarnation)
    assert ids(after) == [calls[0].id, calls[1].id]
    assert after.reservations[0].token > before[-1].token
    assert await own_queue.extend(before) == [Extension.LOST] * 2
    assert await own_queue.ack(before) == [Acked.NOT_RESERVED] * 2


async def test_after_flushall_and_a_rebuild_old_calls_come_before_newer_ones(
    own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    old = [entry(order_no, order_no % 2) for order_no in range(20)]
    await own_queue.push(old)
    await own_queue.reserve(slots(5), incarnation)
    await own_admin.flushall()
    newer = [entry(order_no, order_no % 2) for order_no in range(20, 30)]
    await own_queue.push(newer)
    await own_queue.push(old[::-1])
    expected = sorted([*old, *newer], key=lambda call: (-call.priority, call.order_no))
    assert ids(await own_queue.reserve(ROOMY, incarnation)) == [call.id for call in expected]


async def test_forgotten_scripts_are_sent_again(
    own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    await own_queue.push([entry(1)])
    await own_admin.script_flush()
    [reservation] = (await own_queue.reserve(ROOMY, incarnation)).reservations
    await own_admin.script_flush()
    assert await own_queue.ack([reservation]) == [Acked.ACKED]


async def test_a_full_redis_refuses_pushes_and_still_drains(
    own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    calls = [entry(order_no) for order_no in range(4)]
    await own_queue.push([*calls, entry(9, delay_ms=1)])
    [kept] = (await own_queue.reserve(slots(1), incarnation)).reservations
    await own_admin.config_set("maxmemory", 1)
    with pytest.raises(QueueFullError):
        await own_queue.push([entry(5), entry(6, delay_ms=1)])
    assert (await own_queue.depth()).calls == 5
    first, second, third = (await own_queue.reserve(slots(3), incarnation)).reservations
    assert await own_queue.extend([first, kept]) == [Extension.HELD] * 2
    assert await own_queue.release([first]) == [True]
    assert await own_queue.release([second], delay_ms=60_000) == [True]
    assert await own_queue.release_incarnation(incarnation) == 2
    await own_queue.maintain()
    reserved = await own_queue.reserve(ROOMY, incarnation)
    assert ids(reserved)[:3] == [kept.id, first.id, third.id]
    assert await own_queue.ack(reserved.reservations) == [Acked.ACKED] * len(reserved.reservations)
    assert is_conserved(await own_queue.depth())
    await own_admin.config_set("maxmemory", 0)
    assert await own_queue.push([entry(5)]) == 1


async def test_a_full_redis_still_buries(own_redis: LocalRedis, own_admin: Redis, incarnation: UUID) -> None:
    queue = RedisQueue.open(Settings(redis_url=own_redis.url))
    await queue.push([entry(1)])
    await own_admin.config_set("maxmemory", 1)
    while not (dead := await queue.dead(1)):
        await queue.reserve(slots(1), incarnation)
        await queue.release_incarnation(incarnation)
    await queue.bury([call.id for call in dead])
    assert (await queue.depth()).calls == 0
    await queue.aclose()


async def test_a_redis_that_may_evict_is_refused(own_queue: RedisQueue, own_admin: Redis) -> None:
    await own_queue.check()
    await own_admin.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(EvictingRedisError):
        await own_queue.check()


async def test_a_killed_redis_comes_back_with_what_it_held(
    own_redis: LocalRedis, own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    await own_admin.config_set("appendfsync", "always")
    call = entry(1)
    await own_queue.push([call])
    [old] = (await own_queue.reserve(ROOMY, incarnation)).reservations
    await own_queue.release([old])
    waiter = asyncio.create_task(own_queue.wait([Lane.SYNC], 30))

    async def blocked() -> int:
        return int((await own_admin.info("clients"))["blocked_clients"])

    await eventually(blocked)
    os.kill(own_redis.child.pid, signal.SIGKILL)
    await own_redis.child.wait()
    with pytest.raises(QueueUnavailableError):
        await waiter
    with pytest.raises(QueueUnavailableError):
        await own_queue.reserve(ROOMY, incarnation)
    await own_redis.start()
    async with asyncio.timeout(5):
        await own_queue.wait([Lane.ASYNC], 30)
    [new] = (await own_queue.reserve(ROOMY, incarnation)).reservations
    assert new.id == call.id
    assert new.token > old.token


async def test_another_generation_tells_that_everything_was_lost(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    before = await own_queue.generation()
    await own_queue.push([entry(1)])
    assert await own_queue.generation() == before
    await own_admin.flushall()
    assert await own_queue.generation() > before


async def test_a_push_into_one_generation_is_refused_by_every_other(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    before = await own_queue.generation()
    assert await own_queue.push([entry(1), entry(2)], before) == 2
    for refused in (before - 1, before + 1, 0):
        with pytest.raises(QueueLostError):
            await own_queue.push([entry(3)], refused)
    await own_admin.flushall()
    with pytest.raises(QueueLostError):
        await own_queue.push([entry(3)], before)
    assert await own_admin.dbsize() == 0
    with pytest.raises(QueueLostError):
        await own_queue.push([entry(3)], before)
    assert await own_queue.push([entry(3)], await own_queue.generation()) == 1


async def test_another_run_of_the_server_shows(own_redis: LocalRedis, own_queue: RedisQueue) -> None:
    before, generation = await own_queue.run_id(), await own_queue.generation()
    assert before
    assert await own_queue.run_id() == before
    await own_redis.stop()
    await own_redis.start()
    assert await own_queue.run_id() != before
    assert await own_queue.generation() == generation


Operation = Callable[[RedisQueue], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "push": lambda queue: queue.push([entry(1)]),
    "reserve": lambda queue: queue.reserve(ROOMY, new_id()),
    "wait": lambda queue: queue.wait([Lane.ASYNC], 1),
    "ack": lambda queue: queue.ack([NOBODY]),
    "reply": lambda queue: queue.reply(NOBODY, b""),
    "delete": lambda queue: queue.delete(NOBODY),
    "extend": lambda queue: queue.extend([NOBODY]),
    "release": lambda queue: queue.release([NOBODY]),
    "release_incarnation": lambda queue: queue.release_incarnation(new_id()),
    "cancel": lambda queue: queue.cancel([NOBODY.id]),
    "pause": lambda queue: queue.pause(),
    "resume": lambda queue: queue.resume(),
    "peek": lambda queue: queue.peek(1),
    "maintain": lambda queue: queue.maintain(),
    "dead": lambda queue: queue.dead(1),
    "bury": lambda queue: queue.bury([NOBODY.id]),
    "bury_replied": lambda queue: queue.bury_replied(
        DeadCall(id=NOBODY.id, deliveries=1, ticket=TICKET), b""
    ),
    "seed_token": lambda queue: queue.seed_token(1),
    "depth": lambda queue: queue.depth(),
    "generation": lambda queue: queue.generation(),
    "run_id": lambda queue: queue.run_id(),
    "check": lambda queue: queue.check(),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_absent_redis_is_an_unavailable_queue(name: str) -> None:
    queue = RedisQueue.open(Settings(redis_url="redis://127.0.0.1:1/0"))
    with pytest.raises(QueueUnavailableError) as caught:
        await OPERATIONS[name](queue)
    assert caught.value.__cause__ is not None
    await queue.aclose()


async def test_a_replica_is_an_unavailable_queue(own_queue: RedisQueue, own_admin: Redis) -> None:
    await own_queue.push([entry(1)])
    await own_admin.replicaof("127.0.0.1", "1")
    for name in ("push", "reserve", "maintain"):
        with pytest.raises(QueueUnavailableError):
            await OPERATIONS[name](own_queue)


async def test_a_reserve_whose_reply_is_lost_strands_nothing(
    own_redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = RedisQueue.open(Settings(redis_url=own_redis.url, lease_s=0.05))
    call = entry(1)
    await queue.push([call])
    monkeypatch.setattr("common.queue.connection.REPLY_S", 0.2)
    os.kill(own_redis.child.pid, signal.SIGSTOP)
    try:
        for name in ("depth", "reserve"):
            with pytest.raises(QueueUnavailableError):
                await OPERATIONS[name](queue)
    finally:
        os.kill(own_redis.child.pid, signal.SIGCONT)
    monkeypatch.undo()

    async def again() -> list[UUID]:
        return ids(await queue.reserve(ROOMY, new_id()))

    assert await eventually(again) == [call.id]
    await queue.aclose()


async def test_a_sync_push_whose_reply_is_lost_is_not_repeated(
    own_redis: LocalRedis, own_queue: RedisQueue, own_admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own_queue.push([entry(1)])
    monkeypatch.setattr("common.queue.connection.REPLY_S", 0.2)
    async with commands_counted(own_admin) as counted:
        os.kill(own_redis.child.pid, signal.SIGSTOP)
        try:
            with pytest.raises(QueueUnavailableError):
                await own_queue.push([sync_entry()])
        finally:
            os.kill(own_redis.child.pid, signal.SIGCONT)
        monkeypatch.undo()

        async def pushed() -> bool:
            return (await own_queue.depth()).ready_sync == 1

        await eventually(pushed)
    assert counted["hmget"] == 1, "each push begins with one"
