"""Nine traps that queues on Redis fall into: rounding, memory, half-done scripts, and so on."""

import random
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from common.errors import QueueFullError
from common.models import new_id
from common.queue import codec, scripts
from common.queue.base import Acked, Cancelled, DeadCall, Extension
from common.queue.redis import RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, room, slots, sync_entry
from tests.conformance.queue.test_ancestor import expire
from tests.conformance.queue.test_faults import NOBODY
from tests.conformance.queue.test_pause import commands_counted
from tests.conformance.queue.test_wait import waiting, woken


async def test_trap_1_scores_keep_every_digit(queue: RedisQueue, admin: Redis, incarnation: UUID) -> None:
    calls = [entry(2**50 - 1 - i, priority) for priority in (2, 1, 0) for i in (2, 1, 0)]
    await queue.push(random.Random(1).sample(calls, len(calls)))
    await queue.reserve(ROOMY, incarnation)
    await expire(admin, queue)
    await queue.maintain()
    scores = [int(await admin.zscore(queue._keys.ready, call.id.bytes) or 0) for call in calls]
    assert scores == [codec.place(call.priority, call.order_no) for call in calls]
    assert [each.priority for each in await queue.peek(9)] == [2, 2, 2, 1, 1, 1, 0, 0, 0]


async def test_trap_2_a_full_redis_lets_all_go_on_but_push(
    own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    waiting_call, running, flagged, sync = entry(5), entry(1), entry(2), sync_entry()
    await own_queue.push([waiting_call, running, flagged, sync])
    held = (await own_queue.reserve(slots(3), incarnation)).reservations
    await own_admin.config_set("maxmemory", 1)
    for refused in (entry(6), sync_entry(), entry(7, delay_ms=1)):
        with pytest.raises(QueueFullError):
            await own_queue.push([refused])
    assert await own_queue.cancel([waiting_call.id, flagged.id, sync.id]) == [
        Cancelled.REMOVED,
        *[Cancelled.REQUESTED] * 2,
    ]
    assert await own_queue.extend(held) == [
        Extension.CANCEL_REQUESTED,
        Extension.HELD,
        Extension.CANCEL_REQUESTED,
    ]
    await own_queue.seed_token(held[-1].token)
    await own_queue.pause()
    assert await own_queue.release(held) == [True] * 3
    assert [each.id for each in await own_queue.peek(9)] == [running.id]
    assert ids(await own_queue.reserve(ROOMY, incarnation)) == []
    await own_queue.resume()
    assert await own_queue.generation() > 0
    again = await own_queue.reserve(ROOMY, incarnation)
    assert ids(again) == [running.id]
    await own_queue.cancel([running.id])
    assert await own_queue.release_incarnation(incarnation) == 1
    await own_queue.bury([dead.id for dead in await own_queue.dead(9)])
    assert (await own_queue.depth()).calls == 0
    await own_admin.config_set("maxmemory", 0)


async def test_trap_2_a_full_redis_takes_replies(
    own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    reply_to = new_id()
    done, lost, late = (sync_entry(reply_to=reply_to, ttl_ms=ttl_ms) for ttl_ms in (60_000, 60_000, 0))
    await own_queue.push([done, lost, late])
    held = (await own_queue.reserve(slots(2), incarnation)).reservations
    await own_admin.config_set("maxmemory", 1)
    with pytest.raises(QueueFullError):
        await own_queue.push([refused := sync_entry(message=bytes(1000)), entry(1)])
    assert await own_admin.hexists(own_queue._keys.message, refused.id.bytes) == 0
    assert await own_queue.reply(held[0], b"done") is Acked.ACKED
    await own_queue.release_incarnation(incarnation)
    await own_queue.maintain()
    for dead in await own_queue.dead(9):
        assert await own_queue.bury_replied(dead, b"dead")
    assert (await own_queue.depth()).calls == 0
    replies = own_queue.replies(reply_to)
    assert [await anext(replies) for _ in range(3)] == [b"done", b"dead", b"dead"]
    keys = own_queue._keys
    assert await own_admin.exists(keys.sync, keys.message, keys.meta) == 0
    await own_admin.config_set("maxmemory", 0)


async def test_trap_3_a_push_that_fails_inside_its_script_changes_nothing(
    queue: RedisQueue, admin: Redis
) -> None:
    keys = [getattr(queue._keys, key) for key in scripts.PUSH.keys]
    good = codec.entry_arguments([entry(1), entry(2, delay_ms=5)], 10)
    for bad in ([new_id().bytes, "x", 0, 1, 10], [new_id().bytes, 5, "x", 1, 10], [new_id().bytes, 5, 0]):
        arguments: list[Any] = [100, "", 3, *good[1:], *bad]
        with pytest.raises(ResponseError):
            await admin.eval(scripts.PUSH.text, len(keys), *keys, *arguments)
        assert await admin.exists(*keys) == 0


async def test_trap_4_no_operation_is_too_long_for_lua(queue: RedisQueue, incarnation: UUID) -> None:
    calls = [entry(order_no) for order_no in range(1200)]
    assert await queue.push(calls) == 1200
    held = [each for _ in range(3) for each in (await queue.reserve(room(10_000), incarnation)).reservations]
    assert len(held) == 1200
    assert set(await queue.extend(held)) == {Extension.HELD}
    assert set(await queue.release(held)) == {True}
    assert len(await queue.peek(10_000)) == 500
    assert len(await queue.cancel([call.id for call in calls])) == 1200
    assert (await queue.depth()).calls == 0


async def test_trap_5_numbers_beyond_32_bits_come_back_as_they_were(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    _, delayed = entry(1), entry(2, delay_ms=30 * 24 * 3600 * 1000)
    await queue.push([delayed])
    due_ms = int(await admin.zscore(queue._keys.delay, delayed.id.bytes) or 0)
    assert due_ms > 2**32
    await queue.push([entry(1)])
    [held] = (await queue.reserve(ROOMY, incarnation)).reservations
    assert held.token > 2**50 / 10
    assert held.expires_at_ms == int(await admin.zscore(queue._keys.lease, held.id.bytes) or 0)


async def test_trap_6_scripts_that_redis_forgot_are_sent_again(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    call = entry(1)
    for operation in (
        lambda: queue.push([call]),
        queue.depth,
        lambda: queue.peek(1),
        queue.pause,
        queue.resume,
        lambda: queue.reserve(ROOMY, incarnation),
        lambda: queue.release_incarnation(incarnation),
        queue.maintain,
        queue.generation,
        lambda: queue.cancel([call.id]),
        lambda: queue.bury([call.id]),
        lambda: queue.dead(1),
        lambda: queue.seed_token(1),
        lambda: queue.reply(NOBODY, b""),
        lambda: queue.withdraw([new_id()], is_unheard=True),
        lambda: queue.trace(call.id),
        lambda: queue.bury_replied(DeadCall(id=call.id, deliveries=1, ticket=NOBODY.ticket), b""),
    ):
        await admin.script_flush()
        await operation()
    assert (await queue.depth()).calls == 0


async def test_trap_7_a_batch_costs_as_many_commands_as_a_single_call(
    own_queue: RedisQueue, own_admin: Redis, incarnation: UUID
) -> None:
    costs: list[dict[str, dict[str, int]]] = []
    for number in (2, 2, 200):  # the first round only loads the scripts
        calls = [entry(order_no) for order_no in range(number)]
        cost: dict[str, dict[str, int]] = {}
        async with commands_counted(own_admin) as cost["push"]:
            await own_queue.push(calls)
        async with commands_counted(own_admin) as cost["reserve"]:
            held = (await own_queue.reserve(ROOMY, incarnation)).reservations
        async with commands_counted(own_admin) as cost["extend"]:
            await own_queue.extend(held)
        async with commands_counted(own_admin) as cost["release"]:
            await own_queue.release(held[: number // 2])
        async with commands_counted(own_admin) as cost["cancel"]:
            await own_queue.cancel([call.id for call in calls[: number // 2]])
        async with commands_counted(own_admin) as cost["ack"]:
            await own_queue.ack(held[number // 2 :])
        costs.append(cost)
        await own_queue.reserve(ROOMY, incarnation)
    assert costs[1] == costs[2]
    assert all(sum(cost.values()) <= 20 for cost in costs[2].values())


async def test_trap_8_a_call_cancelled_while_its_worker_died_is_not_restored(
    queue: RedisQueue, admin: Redis, incarnation: UUID
) -> None:
    cancelled, other = entry(1), entry(2)
    await queue.push([cancelled, other])
    await queue.reserve(ROOMY, incarnation)
    await queue.cancel([cancelled.id])
    await expire(admin, queue)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [other.id]
    depth = await queue.depth()
    assert (depth.calls, depth.dead) == (1, 0)
    assert is_conserved(depth)


async def test_trap_9_what_makes_many_calls_ready_wakes_as_many_waiters_at_once(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis, incarnation: UUID
) -> None:
    await queue.push([entry(order_no) for order_no in range(5)])
    await queue.reserve(ROOMY, incarnation)
    await expire(admin, queue)
    async with waiting(admin, *(open_queue() for _ in range(5))) as tasks:
        await queue.maintain()
        await woken(tasks)
