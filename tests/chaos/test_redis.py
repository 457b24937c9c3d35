"""Redis in trouble under load: calls are accepted wherever they can be stored, and none is lost or doubled."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.chaos.client import Client
from tests.chaos.cluster import Cluster
from tests.chaos.history import Began, Refused
from tests.chaos.measured import Note
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import Yard

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

BACKLOG, KILLS = 60, 100
ACCEPT_S = 2.0  # calls are stored without Redis: who submits one hardly waits for it
STILL_S = 4.0  # longer than an operation may take, and than a lease lasts


@pytest_asyncio.fixture(loop_scope="session")
async def admin(yard: Yard) -> AsyncIterator[Redis]:
    """Straight to the server."""
    client: Redis = Redis.from_url(yard.servers.redis.url, protocol=2)
    async with client:
        yield client


async def test_kill_9_and_a_restart(cluster: Cluster, yard: Yard, note: Note) -> None:
    redis, history = yard.servers.redis, cluster.witness.history
    async with under_load(cluster), fault(history, "redis killed"):
        os.kill(redis.child.pid, signal.SIGKILL)
        await redis.child.wait()
        await asyncio.sleep(1)
        await redis.start()
    cost = note(
        "Redis: kill -9, back after a second (AOF, everysec)",
        "calls are accepted and run a moment later",
        cluster.witness.history,
    )
    assert cost.accept_gap_s < ACCEPT_S


async def test_flushall(cluster: Cluster, admin: Redis, note: Note) -> None:
    async with under_load(cluster), fault(cluster.witness.history, "flushall"):
        for _ in range(3):
            await admin.flushall()
            await asyncio.sleep(0.4)
    note("Redis: FLUSHALL, three times in a second", "calls run a moment later", cluster.witness.history)


async def test_standing_still_for_longer_than_a_lease(
    cluster: Cluster, admin: Redis, yard: Yard, note: Note
) -> None:
    async with under_load(cluster), fault(cluster.witness.history, "redis stands still"):
        try:
            await admin.execute_command("DEBUG", "SLEEP", str(STILL_S))  # type: ignore[no-untyped-call]
        except ResponseError:  # Redis 7 has the command switched off
            os.kill(yard.servers.redis.child.pid, signal.SIGSTOP)
            await asyncio.sleep(STILL_S)
            os.kill(yard.servers.redis.child.pid, signal.SIGCONT)
    cost = note(
        f"Redis: stands still for {STILL_S:.0f} s (DEBUG SLEEP)",
        "calls are accepted and run when it goes on",
        cluster.witness.history,
    )
    assert cost.accept_gap_s < ACCEPT_S


async def test_connections_killed_again_and_again(cluster: Cluster, admin: Redis, note: Note) -> None:
    async with under_load(cluster), fault(cluster.witness.history, "client kill"):
        for _ in range(KILLS):
            for kind in ("normal", "pubsub"):
                await admin.client_kill_filter(_type=kind, skipme=True)
            await asyncio.sleep(2 / KILLS)
    note(f"Redis: CLIENT KILL of all, {KILLS} times in two seconds", "nothing", cluster.witness.history)


async def test_scripts_forgotten_again_and_again(cluster: Cluster, admin: Redis, note: Note) -> None:
    async with under_load(cluster):
        for _ in range(40):
            await admin.script_flush()
            await asyncio.sleep(0.05)
    note("Redis: SCRIPT FLUSH, twenty times a second", "nothing", cluster.witness.history)


async def test_no_memory_left(cluster: Cluster, admin: Redis, note: Note) -> None:
    """New calls are refused, and those that wait are run: a full Redis drains."""
    history = cluster.witness.history
    client = Client(9, cluster.http, cluster.urls, history)
    async with under_load(cluster), fault(history, "no memory"):
        async with asyncio.TaskGroup() as group:
            for _ in range(BACKLOG):
                group.create_task(client.submit("hot", "150"))
        full_at = time.time()
        await admin.config_set("maxmemory", "1mb")
        try:
            await asyncio.sleep(3)
        finally:
            await admin.config_set("maxmemory", "0")
        room_at = time.time()
    note("Redis: no memory left for three seconds", "503 and Retry-After; what waits is run", history)
    assert sum(full_at < one.at < room_at for one in history.of(Refused)) > 10
    assert sum(full_at + 0.5 < one.at < room_at for one in history.of(Began)) > BACKLOG / 2
