"""Failover by Sentinel to a replica that lags behind: what it has not got is as lost as at a restart, and restored."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from deploy.local.account import own_account
from deploy.local.binaries import redis_program
from tests.chaos.cluster import Plan
from tests.chaos.measured import Note
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import HASTY, Yard
from tests.conformance.queue.servers import TcpRedis
from tests.conformance.queue.test_failover import knows_replica
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

LAG_S = 1.5


@pytest_asyncio.fixture(loop_scope="session")
async def trio(tmp_path: Path) -> AsyncIterator[tuple[TcpRedis, TcpRedis, TcpRedis]]:
    """A master, its replica, and a sentinel that watches them."""
    program = (await redis_program("auto", tmp_path / "programs", own_account())).path
    master = TcpRedis(program, tmp_path / "master")
    replica = TcpRedis(program, tmp_path / "replica", f"replicaof 127.0.0.1 {master.port}")
    watch = f"sentinel monitor main 127.0.0.1 {master.port} 1"
    patience = ("sentinel down-after-milliseconds main 500", "sentinel failover-timeout main 3000")
    sentinel = TcpRedis(program, tmp_path / "sentinel", watch, *patience, is_sentinel=True)
    try:
        for server in (master, replica, sentinel):
            await server.start()
        await eventually(lambda: knows_replica(sentinel))
        yield master, replica, sentinel
    finally:
        for server in (master, replica, sentinel):
            await server.kill()


async def test_a_failover_to_a_replica_that_lags(
    yard: Yard, trio: tuple[TcpRedis, TcpRedis, TcpRedis], note: Note
) -> None:
    master, replica, sentinel = trio
    plan = Plan(apis=1, workers=2, settings=HASTY)
    address = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
    async with yard.cluster(plan, address, f"redis://127.0.0.1:{replica.port}") as cluster:
        history = cluster.witness.history
        async with under_load(cluster), fault(history, "failover"), replica.client() as client:
            await client.replicaof("127.0.0.1", "1")  # it keeps what it has, and hears nothing more
            await asyncio.sleep(LAG_S)
            await master.kill()
            await eventually(lambda: is_master(client), timeout_s=20)
        note(
            f"Redis: Sentinel fails over to a replica that lags {LAG_S} s behind",
            "calls are accepted, and run once there is a master",
            history,
        )


async def is_master(client: Redis) -> bool:
    return str((await client.info("replication"))["role"]) == "master"
