"""Postgres in trouble under load: what can't be stored is refused, what was accepted is neither lost nor doubled."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.local import LocalPostgres
from tests.chaos.cluster import Cluster
from tests.chaos.measured import Note
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import Yard
from tests.load.cpu import family, processes

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]

AWAY_S = 20.0
STILL_S = 4.0


async def test_backends_terminated_again_and_again(cluster: Cluster, note: Note) -> None:
    async with under_load(cluster), fault(cluster.witness.history, "backends terminated"):
        for _ in range(10):
            await cluster.audit.ask(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND application_name = 'millrace'"
            )
            await asyncio.sleep(0.2)
    note(
        "Postgres: all backends terminated, ten times in two seconds",
        "now and then a 503",
        cluster.witness.history,
    )


async def test_stopped_for_twenty_seconds(cluster: Cluster, yard: Yard, note: Note) -> None:
    async with under_load(cluster), fault(cluster.witness.history, "postgres stopped"):
        await yard.servers.postgres.stop()
        await asyncio.sleep(AWAY_S)
        await yard.servers.postgres.start()
    note(
        f"Postgres: stopped for {AWAY_S:.0f} s",
        "503 meanwhile; calls that run go on, and are recorded when it is back",
        cluster.witness.history,
    )


async def test_standing_still(cluster: Cluster, yard: Yard, note: Note) -> None:
    history, postgres = cluster.witness.history, yard.servers.postgres
    async with under_load(cluster), fault(history, "postgres stands still"), stopped(postgres):
        await asyncio.sleep(STILL_S)
    note(
        f"Postgres: stands still for {STILL_S:.0f} s (SIGSTOP)",
        "answers come when it goes on",
        cluster.witness.history,
    )


@asynccontextmanager
async def stopped(postgres: LocalPostgres) -> AsyncIterator[None]:
    """All its processes stand still in the block; the first one first, so that no others come."""
    pids = [postgres.child.pid]
    os.kill(postgres.child.pid, signal.SIGSTOP)
    pids += family(processes(), [postgres.child.pid]) - set(pids)
    try:
        for pid in pids[1:]:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
