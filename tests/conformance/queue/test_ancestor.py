"""What Fn v1 got wrong with its queue on Redis (weaknesses R1 to R24), each as a case that must hold here.

Not here: R18 (strict priority can starve a lower one, by contract), R21 and R24 (test_faults.py, test_pause.py).
"""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.errors import NotReservedError, QueueFullError, QueueUnavailableError
from common.models import new_id
from common.queue.base import Acked, Extension
from common.queue.redis import RedisQueue
from common.settings import Settings
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, slots
from tests.polling import eventually

LEFT_BEHIND = ("state", "wake_sync", "wake_async")


async def expire(admin: Redis, queue: RedisQueue) -> None:
    """End every lease now."""
    leased: Any = await admin.zrange(queue._keys.lease, 0, -1)
    for raw in leased:
        await admin.zadd(queue._keys.lease, {raw: 1})


async def fall_due(admin: Redis, queue: RedisQueue, *calls: UUID) -> None:
    for call_id in calls:
        await admin.zadd(queue._keys.delay, {call_id.bytes: 1})


async def test_r1_an_expired_reservation_returns_and_leaves_nothing_behind(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([entry(1)])
    await queue.reserve(ROOMY, incarnation)
    await expire(admin, queue)
    [again] = (await queue.reserve(ROOMY, incarnation)).reservations
    await queue.delete(again)
    keys: Any = await admin.keys(f"{queue._keys.ready[:-5]}*")
    left = {key.decode().rpartition(":")[2] for key in keys}
    assert left <= set(LEFT_BEHIND)


async def test_r2_r4_r9_r10_every_operation_is_one_command(
    open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    queue = open_queue()
    await queue.push([entry(0)])
    await queue.ack((await queue.reserve(ROOMY, incarnation)).reservations)
    sent: list[str] = []
    calls = [entry(1), entry(2, delay_ms=60_000)]
    async with admin.monitor() as monitor:
        await queue.push(calls)
        reserved = (await queue.reserve(ROOMY, incarnation)).reservations
        await queue.ack(reserved)
        await admin.echo("that was all")
        while True:
            seen = await monitor.next_command()
            if seen["command"].startswith("ECHO"):
                break
            if seen["client_type"] != "lua":
                sent.append(seen["command"].split()[0].upper())
    assert [command for command in sent if command not in {"CLIENT", "AUTH", "SELECT"}] == ["EVALSHA"] * 3


async def test_r3_r12_a_poison_call_is_set_aside_and_stops_nothing_behind_it(
    open_queue: OpenQueue, admin: Redis
) -> None:
    queue = open_queue(max_attempts=1)
    poison, good = entry(1), entry(2)
    await queue.push([poison, good])
    for _ in range(2):
        assert ids(await queue.reserve(slots(1), new_id())) == [poison.id]
        await expire(admin, queue)
    assert ids(await queue.reserve(ROOMY, new_id())) == [good.id]
    assert [dead.id for dead in await queue.dead(9)] == [poison.id], "handed over, not gone"


async def test_r5_r10_many_maintainers_restore_and_promote_each_call_once(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    leased, delayed = (
        [entry(order_no) for order_no in range(60)],
        [entry(order_no, delay_ms=9**9) for order_no in range(100, 160)],
    )
    await queue.push(leased)
    await queue.reserve(ROOMY, incarnation)
    await queue.push(delayed)
    await expire(admin, queue)
    await fall_due(admin, queue, *(call.id for call in delayed))
    await asyncio.gather(*(open_queue().maintain() for _ in range(6)))
    depth = await queue.depth()
    assert (sum(depth.ready), depth.calls) == (120, 120)
    assert is_conserved(depth)


async def test_r6_r7_300_expired_calls_are_back_at_once_and_at_the_head(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    calls = [entry(order_no) for order_no in range(301)]
    await queue.push(calls)
    await queue.reserve(slots(300), incarnation)
    await expire(admin, queue)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [call.id for call in calls]


async def test_r8_r20_a_failure_is_said_and_in_time() -> None:
    queue = RedisQueue.open(Settings(redis_url="redis://127.0.0.1:1"))
    async with asyncio.timeout(10):
        with pytest.raises(QueueUnavailableError):
            await queue.maintain()
    await queue.aclose()


async def test_r11_promotion_takes_only_what_is_due(queue: RedisQueue, admin: Redis) -> None:
    due, later = entry(1, delay_ms=9**9), entry(2, delay_ms=9**9)
    await queue.push([due, later])
    await fall_due(admin, queue, due.id)
    await queue.maintain()
    depth = await queue.depth()
    assert (sum(depth.ready), depth.delayed) == (1, 1)


async def test_r13_the_work_of_one_step_is_bounded(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    calls = [entry(order_no) for order_no in range(400)]
    await queue.push(calls)
    await queue.reserve(ROOMY, incarnation)
    await expire(admin, queue)
    assert await queue.maintain() == 0, "there is more to do"
    assert sum((await queue.depth()).ready) == 128


async def test_r14_deleting_a_call_that_is_not_reserved_is_an_error(
    queue: RedisQueue, incarnation: UUID
) -> None:
    await queue.push([entry(1)])
    [held] = (await queue.reserve(ROOMY, incarnation)).reservations
    await queue.release([held])
    with pytest.raises(NotReservedError):
        await queue.delete(held)


async def test_r15_a_late_worker_acks_nobody_elses_reservation(queue: RedisQueue, admin: Redis) -> None:
    await queue.push([entry(1)])
    [late] = (await queue.reserve(ROOMY, new_id())).reservations
    await expire(admin, queue)
    [current] = (await queue.reserve(ROOMY, new_id())).reservations
    with pytest.raises(NotReservedError):
        await queue.delete(late)
    assert await queue.ack([current]) == [Acked.ACKED]


async def test_r16_a_lease_can_be_kept_for_any_time(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([entry(1)])
    held = (await queue.reserve(ROOMY, incarnation)).reservations
    for _ in range(3):
        await expire(admin, queue)
        assert await queue.extend(held) == [Extension.HELD]
    assert ids(await queue.reserve(ROOMY, incarnation)) == []


@pytest.mark.parametrize("priority", [-1, 3])
async def test_r17_a_priority_that_nobody_reads_is_refused_with_all_beside_it(
    queue: RedisQueue, priority: int
) -> None:
    with pytest.raises(ValueError, match="no place"):
        await queue.push([entry(1), entry(2, priority=priority)])
    assert (await queue.depth()).calls == 0


async def test_r19_a_delay_is_counted_in_milliseconds_by_redis(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    seconds, microseconds = await admin.time()
    call = entry(1, delay_ms=40)
    await queue.push([call])

    async def there() -> list[UUID]:
        return ids(await queue.reserve(ROOMY, incarnation))

    assert await eventually(there, interval_s=0.002) == [call.id]
    later_s, later_us = await admin.time()
    assert (later_s - seconds) * 1000 + (later_us - microseconds) / 1000 >= 40


async def test_r20_the_queue_has_a_maximum_length(open_queue: OpenQueue) -> None:
    queue = open_queue(queue_max_calls=1)
    with pytest.raises(QueueFullError):
        await queue.push([entry(1), entry(2)])


async def test_r22_two_queues_in_one_redis_share_nothing(
    queue: RedisQueue, server_url: str, admin: Redis, incarnation: UUID
) -> None:
    other = RedisQueue.open(Settings(redis_url=server_url, queue_name=f"other-{new_id().hex}"))
    call = entry(1)
    await queue.push([call])
    await other.push([call])
    [mine] = (await queue.reserve(ROOMY, incarnation)).reservations
    assert await other.ack([mine]) == [Acked.NOT_RESERVED]
    await queue.pause()
    [theirs] = (await other.reserve(ROOMY, incarnation)).reservations
    await other.delete(theirs)
    assert (await queue.depth()).leased == 1
    await admin.delete(other._keys.state)
    await other.aclose()


async def test_r23_redis_holds_ids_and_numbers_and_nothing_else(queue: RedisQueue, admin: Redis) -> None:
    await queue.push([entry(1), entry(2)])
    records = await admin.hgetall(queue._keys.meta)
    assert {(len(call_id), len(record)) for call_id, record in records.items()} == {(16, 30)}
