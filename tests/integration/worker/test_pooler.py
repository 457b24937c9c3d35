"""Behind PgBouncer in transaction mode: everything works, and nothing is left behind in a session."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from common.errors import StoreUnavailableError
from common.models import CallStatus
from common.settings import Settings
from common.store.postgres import PostgresStore
from tests.integration.api.served import ServedApi
from tests.integration.worker.bench import Bench, open_bench
from tests.pgbouncer import pooled
from tests.shell_image import SHELL_IMAGE

SUBMITS = 100
RUN = 4


@pytest.fixture
async def bench(
    empty_database_url: str, redis_url: str, servers_directory: Path, shell_image: str, tmp_path: Path
) -> AsyncIterator[Bench]:
    directory = servers_directory / f"pooler-{uuid4().hex[:8]}"
    async with (
        pooled(empty_database_url, directory) as url,
        open_bench(url, redis_url, tmp_path / "spool") as bench,  # it migrates
    ):
        yield bench


async def test_everything_works_behind_a_pooler_in_transaction_mode(
    bench: Bench, empty_database_url: str
) -> None:
    settings = replace(bench.settings, reconcile_interval_s=0.2)
    async with ServedApi(settings) as one, ServedApi(settings) as other:
        path = await one.create_route("pooled", image=SHELL_IMAGE, config={"SCRIPT": "cat"})
        await one.create_route(
            "pooled", path="/sync", type="sync", image=SHELL_IMAGE, config={"SCRIPT": "cat"}
        )
        later = {"Millrace-Delay": "3600"}
        answers = await asyncio.gather(
            *(
                api.ask("POST", path, data=b"x", headers=later)
                for api in (one, other)
                for _ in range(SUBMITS // 2)
            ),
            *(api.get("/v1/apps/pooled/calls") for api in (one, other) for _ in range(SUBMITS // 4)),
        )
        assert {answer.status for answer in answers} == {200, 202}
        async with bench.worker() as worker:
            calls = [await one.ask("POST", path, data=b"ran") for _ in range(RUN)]
            for call in calls:
                waited = await other.get(f"/v1/apps/pooled/calls/{call.json['call_id']}?wait=30")
                assert waited.json["call"]["status"] == CallStatus.SUCCESS, waited.body
            assert (await other.ask("POST", "/r/pooled/sync", data=b"sync")).body == b"sync"
            assert worker.why_not_ready() is None
        rebuilt = await one.post("/v1/queue/rebuild", {})
        assert b'"is_done":true' in rebuilt.body.splitlines()[-1]
        assert (await other.get("/readyz")).status == 200
    await nothing_is_left_behind(empty_database_url)


async def nothing_is_left_behind(direct_url: str) -> None:
    """No lock in the database, and turns were taken."""
    connection = await asyncpg.connect(direct_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        assert {row["name"] for row in await connection.fetch("SELECT name FROM turns")} >= {"retention"}
        assert await connection.fetchval("SELECT count(*) FROM turns") >= 2
    finally:
        await connection.close()


async def test_a_pooler_that_comes_later_is_found_out(
    empty_database_url: str, servers_directory: Path
) -> None:
    """A prepared statement that is not there where it is used: some refusals, and then none is prepared any more."""
    async with pooled(empty_database_url, servers_directory / f"pooler-{uuid4().hex[:8]}") as url:
        store = await PostgresStore.open(Settings(database_url=url))
        store._database._server.is_pooled = False  # as it was found at the start
        await store.get_database().expire_connections()

        async def look(times: int) -> list[object]:
            return await asyncio.gather(*(store.get_apps() for _ in range(times)), return_exceptions=True)

        refused = [answer for _ in range(5) for answer in await look(40) if answer != []]
        assert refused, "else this test shows nothing"
        assert all(isinstance(answer, StoreUnavailableError) for answer in refused)
        assert await look(100) == [[]] * 100
        await store.aclose()
