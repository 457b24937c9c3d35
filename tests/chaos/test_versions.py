"""Two versions at once: a later migration is applied while this version runs; a worker that starts then joins in."""

import asyncio
import time

import asyncpg
import pytest
from msgspec.structs import replace

from tests.chaos.cluster import APP, Cluster
from tests.chaos.history import Began, History
from tests.chaos.killer import Killer
from tests.chaos.load import loaded
from tests.chaos.measured import Note
from tests.chaos.scene import SHAPE, nothing_amiss
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

TABLES = ("apps", "routes", "calls", "call_results", "workers")
TIMES = (
    12  # more often than a process has connections to Postgres: each has statements that it prepared before
)


async def test_a_later_migration_while_this_version_runs(cluster: Cluster, note: Note) -> None:
    """Columns are added to tables and views: statements that were prepared before now return more than they did."""
    history = cluster.witness.history
    await use_everything(cluster)
    async with loaded(cluster, history, replace(SHAPE, calls=10_000)) as load:
        await eventually(lambda: load.accepted > SHAPE.per_s)
        await migrate_further(cluster)
        killer = Killer(cluster, history)
        (killed,) = killer.victims(lambda victim: victim.kind == "child" and victim.unit == "worker-0")
        killer.kill(killed)
        killed_at = time.time()
        await use_everything(cluster)
        await eventually(lambda: len(at_work(history, killed_at) - {killed.incarnation}) == 2, timeout_s=30)
        load.stop.set()
    await nothing_amiss(cluster, history)
    note(
        "Two versions: a later migration while this one runs",
        "nothing; a change of a route may get one 503",
        history,
    )


def at_work(history: History, since: float) -> set[str]:
    """The incarnations that have begun calls since then."""
    return {begun.incarnation for begun in history.of(Began) if begun.at > since}


async def use_everything(cluster: Cluster) -> None:
    """Read and change a route, and list calls, on all connections of every api. Reads must succeed."""

    async def use(url: str) -> None:
        for number in range(TIMES):
            change = {"route": {"headers": {"X-Number": [str(number)]}}}
            app = f"{url}/v1/apps/{APP}"
            async with cluster.http.patch(f"{app}/routes/sync", json=change) as reply:
                # A transaction that meets the change can't go on: the first try after it may be turned away.
                assert reply.status in (200, 503), await reply.text()
            for path in ("", "/routes", "/routes/sync", "/calls"):
                async with cluster.http.get(app + path) as reply:
                    assert reply.status == 200, await reply.text()

    await asyncio.gather(*(use(url) for url in cluster.urls for _ in range(3)))


async def migrate_further(cluster: Cluster) -> None:
    connection = await asyncpg.connect(cluster.addresses.direct_database_url)
    try:
        view = await connection.fetchval("SELECT pg_get_viewdef('visible_calls'::regclass)")
        columns, _, source = view.rstrip(";").rpartition("FROM")
        async with connection.transaction():
            for table in TABLES:
                await connection.execute(f"ALTER TABLE {table} ADD COLUMN of_a_later_version text")
            newest = await connection.fetchval("SELECT max(version) FROM schema_migrations")
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum, compatible_since) VALUES ($1, $2, '', $3)",
                *(newest + 1, "of_a_later_version", newest),
            )
            await connection.execute(
                f"CREATE OR REPLACE VIEW visible_calls AS {columns}, of_a_later_version FROM {source}"
            )
    finally:
        await connection.close()
