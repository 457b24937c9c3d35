"""Postgres in trouble under load: what can't be stored is refused, what was accepted is neither lost nor doubled."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.local import LocalPostgres
from tests.chaos.client import Client
from tests.chaos.cluster import Cluster
from tests.chaos.history import Began, Ended
from tests.chaos.measured import Note
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import Yard
from tests.load.cpu import family, processes
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]

AWAY_S, AWAY_SHORT_S = 20.0, 8.0
AT_ONCE_S = 0.1  # what ends sooner may have been recorded just before the stop
LONG_MS = "3000"
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


async def test_stopped(cluster: Cluster, yard: Yard, note: Note, request: pytest.FixtureRequest) -> None:
    """What runs meanwhile goes on, and is recorded once Postgres is back: it need not run again."""
    away_s = AWAY_SHORT_S if request.config.getoption("--minutes") is None else AWAY_S
    history, postgres = cluster.witness.history, yard.servers.postgres
    async with under_load(cluster):
        long = await Client(0, cluster.http, cluster.urls, history).submit("hot", LONG_MS)
        await eventually(lambda: long in history.by_call(Began))
        async with fault(history, "postgres stopped"):
            stopped_at = time.time()
            await postgres.stop()
            await asyncio.sleep(away_s)
            await postgres.start()
            back_at = time.time()
    note(f"Postgres: stopped for {back_at - stopped_at:.0f} s", "503 meanwhile; what runs goes on", history)
    ended = {end.call_id for end in history.of(Ended) if stopped_at + AT_ONCE_S < end.at < back_at}
    assert long in ended
    assert {len(history.by_call(Began)[call_id]) for call_id in ended} == {1}


async def test_standing_still(cluster: Cluster, yard: Yard, note: Note) -> None:
    history, postgres = cluster.witness.history, yard.servers.postgres
    async with under_load(cluster), fault(history, "postgres stands still"), stopped(postgres):
        await asyncio.sleep(STILL_S)
    cost = note(
        f"Postgres: stands still for {STILL_S:.0f} s (SIGSTOP)", "answers come when it goes on", history
    )
    assert cost.refused == 0


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
