"""A listener for replies gets each that waits for it, soon, whatever becomes of connections and servers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.models import new_id
from common.queue.base import Acked
from common.queue.redis import RedisQueue
from common.settings import Settings
from deploy.local import LocalRedis
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, sync_entry
from tests.conformance.queue.test_cancellation import run_cancelled_at
from tests.conformance.queue.test_pause import commands_counted
from tests.conformance.queue.test_wait import blocked
from tests.polling import eventually


async def leave(queue: RedisQueue, reply_to: UUID, *replies: bytes) -> None:
    """Let a worker answer a call with each of *replies*."""
    await queue.push([sync_entry(reply_to=reply_to) for _ in replies])
    held = (await queue.reserve(ROOMY, new_id())).reservations
    for reservation, reply in zip(held, replies, strict=True):
        assert await queue.reply(reservation, reply) is Acked.ACKED


@asynccontextmanager
async def listening(queue: RedisQueue, admin: Redis, reply_to: UUID) -> AsyncIterator[asyncio.Queue[bytes]]:
    """What `replies` yields, from when it is blocked; cancelled at the end."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen() -> None:
        async for reply in queue.replies(reply_to):
            heard.put_nowait(reply)

    task = asyncio.create_task(listen())
    try:
        await eventually(lambda: blocked(admin))
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hears(heard: asyncio.Queue[bytes], number: int = 1) -> list[bytes]:
    async with asyncio.timeout(5):
        return [await heard.get() for _ in range(number)]


async def test_each_listener_gets_its_own_replies_in_their_order(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis
) -> None:
    mine, other = new_id(), new_id()
    async with listening(open_queue(), admin, mine) as heard:
        await leave(queue, other, b"not mine")
        await leave(queue, mine, b"", bytes(range(256)), b"x" * 10**6)
        assert await hears(heard, 3) == [b"", bytes(range(256)), b"x" * 10**6]
        assert heard.empty()


async def test_replies_that_wait_come_many_at_a_time(own_queue: RedisQueue, own_admin: Redis) -> None:
    reply_to, sent = new_id(), [b"%d" % number for number in range(100)]
    await leave(own_queue, reply_to, *sent)
    listener = own_queue.replies(reply_to)
    async with commands_counted(own_admin) as counted:
        assert [await anext(listener) for _ in sent] == sent
    assert counted["blpop"] <= 4
    assert counted["lpop"] <= 4


async def test_a_listener_survives_the_loss_of_its_connection(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis
) -> None:
    reply_to = new_id()
    async with listening(open_queue(), admin, reply_to) as heard:
        for number in range(3):
            for client_id in await blocked(admin):
                await admin.client_kill_filter(_id=client_id)
            await leave(queue, reply_to, b"%d" % number)
            assert await hears(heard) == [b"%d" % number]
            await eventually(lambda: blocked(admin))


async def test_a_listener_survives_a_restart(
    own_redis: LocalRedis, own_queue: RedisQueue, own_admin: Redis
) -> None:
    reply_to = new_id()
    async with listening(own_queue, own_admin, reply_to) as heard:
        os.kill(own_redis.child.pid, signal.SIGKILL)
        await own_redis.child.wait()
        await own_redis.start()
        await leave(own_queue, reply_to, b"after")
        assert await hears(heard) == [b"after"]


async def test_a_listener_that_was_cancelled_takes_no_later_reply(
    queue: RedisQueue, open_queue: OpenQueue, admin: Redis
) -> None:
    reply_to, first = new_id(), open_queue()
    async with listening(first, admin, reply_to) as heard:
        await leave(queue, reply_to, b"early")
        assert await hears(heard) == [b"early"]
        await eventually(lambda: blocked(admin))
    assert not first._link.waits.connection_pool._in_use_connections

    async def nobody() -> bool:
        return not await blocked(admin)

    await eventually(nobody)
    await leave(queue, reply_to, b"late")
    async with asyncio.timeout(5):
        assert await anext(open_queue().replies(reply_to)) == b"late"


async def test_listeners_cancelled_at_any_moment_keep_no_connection(queue: RedisQueue) -> None:
    async def listen() -> None:
        listener: Any = queue.replies(reply_to)
        try:
            assert {await anext(listener), await anext(listener)} <= {b"one", b"two"}
        finally:
            await listener.aclose()

    reply_to, turn, was_cancelled = new_id(), 0, True
    while was_cancelled:
        await leave(queue, reply_to, b"one", b"two")
        await queue._link.drop_idle()
        was_cancelled = await run_cancelled_at(turn, listen())
        assert not queue._link.waits.connection_pool._in_use_connections, f"turn {turn}"
        turn += 1
    assert turn > 3


async def test_a_listener_without_a_redis_waits_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.queue.connection.RECONNECT_FIRST_S", 0.001)
    queue = RedisQueue.open(Settings(redis_url="redis://127.0.0.1:1/0"))
    listener: Any = queue.replies(new_id())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(listener)
    await queue.aclose()
