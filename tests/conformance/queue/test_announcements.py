"""Announcements: whoever listens hears of what was committed; nobody who announces waits, or fails, for them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.models import new_id
from common.queue.announcer import MAX_WAITING, Announcer
from common.queue.redis import MAX_BATCH, RedisQueue
from deploy.local import LocalRedis
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.test_cancel import hears
from tests.conformance.queue.test_pause import commands_counted
from tests.polling import eventually


@asynccontextmanager
async def listening(queue: RedisQueue, admin: Redis) -> AsyncIterator[asyncio.Queue[UUID]]:
    """What `announcements` yields, once it listens."""
    heard: asyncio.Queue[UUID] = asyncio.Queue()

    async def listen() -> None:
        async for call_id in queue.announcements():
            heard.put_nowait(call_id)

    before = await listeners(queue, admin)
    task = asyncio.create_task(listen())

    async def listens() -> bool:
        return await listeners(queue, admin) == before + 1

    try:
        await eventually(listens)
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def listeners(queue: RedisQueue, admin: Redis) -> int:
    [(_, count)] = await admin.pubsub_numsub(queue._keys.announced)
    return int(count)


@asynccontextmanager
async def announcing(queue: RedisQueue) -> AsyncIterator[Announcer]:
    announcer = Announcer(queue)
    try:
        yield announcer
    finally:
        await announcer.aclose()


async def test_every_listener_hears_of_every_call(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis
) -> None:
    ids = [new_id() for _ in range(3)]
    async with listening(open_queue(), admin) as first, listening(open_queue(), admin) as second:
        await queue.announce(ids[:2])
        await queue.announce(ids[2:])
        for heard in (first, second):
            assert [await hears(heard) for _ in ids] == ids
            assert heard.empty()


async def test_cancels_and_announcements_do_not_mix(queue: RedisQueue, admin: Redis) -> None:
    async with listening(queue, admin) as heard:
        await admin.publish(queue._keys.cancelled, new_id().bytes)
        call_id = new_id()
        await queue.announce([call_id])
        assert await hears(heard) == call_id


async def test_many_calls_are_few_messages_and_none_is_no_message(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    ids = [new_id() for _ in range(1200)]
    async with listening(own_queue, own_admin) as heard, commands_counted(own_admin) as counted:
        await own_queue.announce([])
        await own_queue.announce(ids)
        assert [await hears(heard) for _ in ids] == ids
    assert counted["publish"] == 3


async def test_a_listener_whose_connection_is_killed_listens_again(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis
) -> None:
    listener, call_id = open_queue(), new_id()
    async with listening(listener, admin) as heard:
        assert await admin.client_kill_filter(_type="pubsub") == 1
        await eventually(lambda: listeners(listener, admin))
        await queue.announce([call_id])
        assert await hears(heard) == call_id


async def test_a_listener_that_stops_leaves_no_connection(queue: RedisQueue, admin: Redis) -> None:
    async with listening(queue, admin):
        pass

    async def nobody() -> bool:
        return await listeners(queue, admin) == 0

    await eventually(nobody)
    assert not queue._link.waits.connection_pool._in_use_connections


async def test_a_redis_that_is_stopped_raises_nothing_and_listeners_come_back(
    own_redis: LocalRedis, own_queue: RedisQueue, own_admin: Redis
) -> None:
    async with listening(own_queue, own_admin) as heard:
        await own_redis.stop()
        async with asyncio.timeout(5):
            await own_queue.announce([new_id()])
        await own_redis.start()
        await own_admin.connection_pool.disconnect()
        await eventually(lambda: listeners(own_queue, own_admin))
        call_id = new_id()
        await own_queue.announce([call_id])
        assert await hears(heard) == call_id


async def test_a_redis_that_hangs_is_given_up_in_time(
    own_redis: LocalRedis, own_queue: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own_queue.check()
    monkeypatch.setattr("common.queue.connection.REPLY_S", 0.2)
    assert own_redis.child is not None
    os.kill(own_redis.child.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(0.2 + 1):
            await own_queue.announce([new_id() for _ in range(2000)])
    finally:
        os.kill(own_redis.child.pid, signal.SIGCONT)


async def test_a_full_redis_still_announces(own_queue: RedisQueue, own_admin: Redis) -> None:
    await own_admin.config_set("maxmemory", 1)
    call_id = new_id()
    async with listening(own_queue, own_admin) as heard:
        await own_queue.announce([call_id])
        assert await hears(heard) == call_id


async def test_an_announcer_sends_what_comes_together_as_one_message(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    ids = [new_id() for _ in range(300)]
    async with (
        listening(own_queue, own_admin) as heard,
        announcing(own_queue) as announcer,
        commands_counted(own_admin) as counted,
    ):
        for call_id in ids:
            announcer.tell([call_id])
        announcer.tell(ids)
        assert {await hears(heard) for _ in ids} == set(ids)
        assert heard.empty()
    assert counted["publish"] == 1


async def test_an_announcer_that_closes_sends_what_it_was_told(queue: RedisQueue, admin: Redis) -> None:
    async with listening(queue, admin) as heard:
        call_id = new_id()
        async with announcing(queue) as announcer:
            announcer.tell([call_id])
        assert await hears(heard) == call_id


async def test_an_announcer_with_nothing_to_say_sends_nothing(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    async with announcing(own_queue) as announcer:
        announcer.tell([])
        async with commands_counted(own_admin) as counted:
            await asyncio.sleep(1)
    assert counted == {}


async def test_telling_neither_waits_nor_fails_nor_gathers_without_bound_while_redis_hangs(
    own_redis: LocalRedis, own_queue: RedisQueue, own_admin: Redis
) -> None:
    await own_queue.check()
    assert own_redis.child is not None
    async with announcing(own_queue) as announcer:
        os.kill(own_redis.child.pid, signal.SIGSTOP)
        try:
            begun_s = time.monotonic()
            for _ in range(100):
                announcer.tell([new_id() for _ in range(500)])
                await asyncio.sleep(0)
            assert time.monotonic() - begun_s < 2
            assert len(announcer._waiting) <= MAX_WAITING
        finally:
            os.kill(own_redis.child.pid, signal.SIGCONT)
        async with listening(own_queue, own_admin) as heard:
            call_id = new_id()

            async def is_heard() -> bool:
                announcer.tell([call_id])
                return not heard.empty()

            await eventually(is_heard)


async def test_more_than_may_wait_is_left_to_the_listeners_own_reading(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    async with commands_counted(own_admin) as counted, announcing(own_queue) as announcer:
        announcer.tell(new_id() for _ in range(MAX_WAITING + 5000))
        await announcer.aclose()
    assert counted["publish"] == MAX_WAITING / MAX_BATCH
