"""A real Sentinel promotes the replica of a killed master: what waits, works and listens finds it."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.errors import QueueUnavailableError
from common.models import new_id
from common.queue.base import Extension, Lane
from common.queue.redis import RedisQueue
from tests.conformance.queue.entries import ROOMY, entry, is_conserved
from tests.conformance.queue.servers import TcpRedis
from tests.conformance.queue.test_cancel import hears
from tests.conformance.queue.test_connections import cycle, opened
from tests.polling import eventually

RECOVERY_S = 20.0


@pytest.mark.timeout(120)
async def test_after_a_failover_waits_operations_and_listeners_go_on(program: Path, tmp_path: Path) -> None:
    master = TcpRedis(program, tmp_path / "master")
    replica = TcpRedis(program, tmp_path / "replica", f"replicaof 127.0.0.1 {master.port}")
    sentinel = TcpRedis(
        program,
        tmp_path / "sentinel",
        f"sentinel monitor main 127.0.0.1 {master.port} 1",
        "sentinel down-after-milliseconds main 400",
        "sentinel failover-timeout main 3000",
        is_sentinel=True,
    )
    servers = (master, replica, sentinel)
    try:
        for server in servers:
            await server.start()
        await eventually(lambda: knows_replica(sentinel))
        # The first sentinel of the address is away.
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main?db=0"
        async with opened(url) as queue:
            await fail_over(queue, master, replica)
    finally:
        for server in servers:
            await server.kill()


async def knows_replica(sentinel: TcpRedis) -> bool:
    async with sentinel.client() as client:
        masters: Any = await client.sentinel_masters()
        [master] = masters.values()
        return int(master["num-slaves"]) == 1


async def fail_over(queue: RedisQueue, master: TcpRedis, replica: TcpRedis) -> None:
    call = entry(1)
    await queue.push([call])
    [held] = (await queue.reserve(ROOMY, new_id())).reservations
    heard: asyncio.Queue[UUID] = asyncio.Queue()

    async def listen() -> None:
        async for call_id in queue.cancellations():
            heard.put_nowait(call_id)

    async def wait_on() -> None:
        while True:
            try:
                await queue.wait([Lane.ASYNC], 5)
                return
            except QueueUnavailableError:
                await asyncio.sleep(0.05)

    async def is_replicated() -> bool:
        async with replica.client() as client, master.client() as main:
            listens = dict(await main.pubsub_numsub(queue._keys.cancelled))[queue._keys.cancelled.encode()]
            return bool(await client.zcard(queue._keys.lease)) and bool(listens)

    tasks = [asyncio.create_task(listen()), asyncio.create_task(wait_on())]
    try:
        await eventually(is_replicated)
        await master.kill()
        await eventually(lambda: cycle(queue), timeout_s=RECOVERY_S)
        async with asyncio.timeout(RECOVERY_S):
            await tasks[1]
        assert await queue.extend([held]) == [Extension.HELD], "the lease went over"

        async def listens_again() -> bool:
            async with replica.client() as client:
                [(_, listeners)] = await client.pubsub_numsub(queue._keys.cancelled)
                return bool(listeners)

        await eventually(listens_again)
        await queue.cancel([call.id])
        assert await hears(heard) == call.id
        assert is_conserved(await queue.depth())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
