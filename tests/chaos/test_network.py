"""A bad network between the processes and their servers: slow, breaking off, or silent on open connections."""

import asyncio
import time

import pytest

from common.store.server import COMMAND_TIMEOUT_S
from tests.chaos.cluster import Cluster
from tests.chaos.history import Fault
from tests.chaos.measured import Note
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import Yard

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

SLOW_S = 0.04  # one way
ON_S = 3.0
GIVEN_UP_S = COMMAND_TIMEOUT_S + 5
SERVERS = {"Redis": "redis_proxy", "Postgres": "postgres_proxy"}


async def test_a_slow_way_to_both(cluster: Cluster, yard: Yard, note: Note) -> None:
    history = cluster.witness.history
    proxies = yard.servers.redis_proxy, yard.servers.postgres_proxy
    async with under_load(cluster), fault(history, "slow"):
        for proxy in proxies:
            proxy.delay_s = SLOW_S
        await asyncio.sleep(ON_S)
        for proxy in proxies:
            proxy.delay_s = 0
    cost = note(
        f"Network: {SLOW_S * 1000:.0f} ms more each way, to Redis and to Postgres",
        "everything takes longer",
        history,
    )
    assert cost.refused == 0


@pytest.mark.parametrize("server", SERVERS)
async def test_connections_that_break_off(cluster: Cluster, yard: Yard, note: Note, server: str) -> None:
    history, proxy, dropped = cluster.witness.history, getattr(yard.servers, SERVERS[server]), 0
    async with under_load(cluster), fault(history, "drops"):
        for number in range(10):
            proxy.is_refusing = number % 2 == 0  # every other time, none can be made for a while
            dropped += proxy.drop()
            await asyncio.sleep(ON_S / 10)
        proxy.is_refusing = False
    assert dropped > 10
    sees = "now and then a 503" if server == "Postgres" else "calls begin a moment later"
    note(f"Network: connections to {server} break, three times a second", sees, history)


@pytest.mark.parametrize("server", SERVERS)
async def test_half_open_connections(cluster: Cluster, yard: Yard, note: Note, server: str) -> None:
    """Whoever has one must find out by itself that it is dead: no packet tells."""
    history, proxy = cluster.witness.history, getattr(yard.servers, SERVERS[server])
    async with under_load(cluster):
        # It is on for as long as one of the dead connections may not have been found out.
        history.add(Fault(at=time.time(), until=time.time() + GIVEN_UP_S, name="half-open"))
        assert proxy.go_deaf() > 4
    cost = note(
        f"Network: all connections to {server} half-open", "a pause, until they are given up", history
    )
    assert cost.accept_gap_s < GIVEN_UP_S
    assert cost.begin_gap_s < GIVEN_UP_S
