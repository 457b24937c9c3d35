"""Errors of Postgres that nobody expects: the worker says so, goes on, and works again once they are gone."""

import asyncpg

from common.models import CallStatus
from tests.integration.worker.bench import Bench
from tests.polling import eventually


async def test_an_unexpected_error_of_the_store_does_not_end_the_worker(bench: Bench) -> None:
    running = await bench.submit("sleep 2; echo done")
    admin = await asyncpg.connect(bench.settings.database_url)
    async with bench.worker(heartbeat_s=0.2, heartbeat_stale_s=0.5) as worker:
        await bench.running(running)
        await rename(admin, "workers", "workers_away")
        await rename(admin, "calls", "calls_away")
        await eventually(lambda: worker.heartbeat.why_stale)
        await rename(admin, "calls_away", "calls")
        await rename(admin, "workers_away", "workers")
        await eventually(lambda: worker.why_not_ready() is None)
        later = await bench.submit("echo done")
        for call_id in (running, later):
            call = await bench.finished(call_id)
            assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)
    await admin.close()


async def rename(connection: asyncpg.Connection, table: str, name: str) -> None:
    await connection.execute(f"ALTER TABLE {table} RENAME TO {name}")
