"""Many queued calls cost nothing as long as nothing happens to them."""

import asyncio

import pytest
from asyncpg import Pool
from asyncpg.pool import PoolConnectionProxy
from msgspec.structs import replace

from common.settings import Settings
from tests.integration.api.rounds import rounds_of, sweeps
from tests.integration.api.served import ServedApi

pytestmark = pytest.mark.usefixtures("alone")

QUEUED = 200_000
ROUNDS = 20
ROWS_OF_A_ROUND = 20


async def rows_read(api: ServedApi) -> int:
    """Rows and index entries of calls that were read so far, as Postgres counts them."""
    pool = api.store.get_database()
    async with (
        asyncio.TaskGroup() as group
    ):  # each connection counts for itself, until it is told to add it up
        for connection in [await pool.acquire() for _ in range(pool.get_max_size())]:
            group.create_task(_add_up(pool, connection))
    count: int = await pool.fetchval(
        "SELECT coalesce(sum(idx_tup_read), 0)::bigint + (SELECT seq_tup_read FROM pg_stat_user_tables"
        " WHERE relname = 'calls') FROM pg_stat_user_indexes WHERE relname = 'calls'"
    )
    return count


async def _add_up(pool: Pool, connection: PoolConnectionProxy) -> None:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await pool.release(connection)


async def test_a_round_reads_as_good_as_nothing_however_many_calls_are_queued(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=2 * QUEUED)) as api:
        await api.store.get_database().execute(
            "INSERT INTO calls (id, app_name, path, type, status, priority, delay_s, memory_mb, route_revision,"
            " created_at, due_at) SELECT gen_random_uuid(), 'app', '/p', 'async',"
            " CASE WHEN n % 10 = 0 THEN 'delayed' ELSE 'queued' END, n % 3, 0, 128, '', now(), now() + interval '1 day'"
            " FROM generate_series(1, $1) AS n",
            QUEUED,
            timeout=60,
        )
        await api.store.get_database().execute("VACUUM ANALYZE calls", timeout=60)
        rounds = rounds_of(api)
        before = await rows_read(api)
        await rounds.run_round()
        assert (await api.queue.depth()).calls == QUEUED
        assert await rows_read(api) - before >= QUEUED, "the measure measures"
        await rounds.run_round()  # the only one in this minute that counts
        before = await rows_read(api)
        for _ in range(ROUNDS):
            await rounds.run_round()
        assert await rows_read(api) - before < ROUNDS * ROWS_OF_A_ROUND
        assert sweeps(api) == {"start": 1}
