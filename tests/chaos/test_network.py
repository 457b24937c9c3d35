"""A bad network between the processes and their servers: slow, breaking off, or silent on open connections."""

import asyncio

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.measured import Note
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import Yard

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

SLOW_S = 0.05  # one way
ON_S = 3.0


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_a_slow_way(cluster: Cluster, yard: Yard, note: Note, server: str) -> None:
    proxy = getattr(yard.servers, f"{server}_proxy")
    async with under_load(cluster), fault(cluster.witness.history, "slow"):
        proxy.delay_s = SLOW_S
        try:
            await asyncio.sleep(ON_S)
        finally:
            proxy.delay_s = 0
    note(
        f"Network: {SLOW_S * 1000:.0f} ms more to {server}, each way",
        "everything takes longer",
        cluster.witness.history,
    )


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_connections_that_break_off(cluster: Cluster, yard: Yard, note: Note, server: str) -> None:
    proxy, dropped = getattr(yard.servers, f"{server}_proxy"), 0
    async with under_load(cluster), fault(cluster.witness.history, "drops"):
        try:
            for number in range(10):
                proxy.is_refusing = number % 2 == 0  # every other time, none can be made for a while
                dropped += proxy.drop()
                await asyncio.sleep(ON_S / 10)
        finally:
            proxy.is_refusing = False
    assert dropped > 10
    note(
        f"Network: connections to {server} break, three times a second",
        "now and then a 503",
        cluster.witness.history,
    )


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_half_open_connections(cluster: Cluster, yard: Yard, note: Note, server: str) -> None:
    """Whoever has one must find out by itself that it is dead: no packet tells."""
    proxy = getattr(yard.servers, f"{server}_proxy")
    async with under_load(cluster), fault(cluster.witness.history, "half-open"):
        assert proxy.go_deaf()
    note(
        f"Network: all connections to {server} half-open",
        "a pause, until they are given up",
        cluster.witness.history,
    )
