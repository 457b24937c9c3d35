"""Few connections to Postgres, by our own setting or as the server has no more: slower, in order, and no refusal."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from msgspec.structs import replace

from common.models import CallStatus
from common.settings import Settings
from tests.integration.api.served import ServedApi
from tests.integration.worker.bench import Bench, open_bench
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE

REQUESTS = 60
CONNECTIONS = 5  # for an api, a worker and the bench
POOL = 3


@pytest.fixture
async def limited_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that takes few connections; its owner is no superuser, who would be let in all the same."""
    name = f"few_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'few'")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name} CONNECTION LIMIT {CONNECTIONS}")
    yield urlsplit(postgres_url)._replace(netloc=f"{name}:few@", path=f"/{name}").geturl()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


async def test_a_server_at_its_limit(
    limited_url: str, redis_url: str, shell_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.store.database.IDLE_S", 0.5)
    async with open_bench(limited_url, redis_url, tmp_path / "spool") as bench:
        await all_goes_on(bench, bench.settings)


async def test_a_small_pool(bench: Bench) -> None:
    await all_goes_on(bench, replace(bench.settings, database_pool_max=POOL))


async def all_goes_on(bench: Bench, settings: Settings) -> None:
    """Submits, reads, turns and outcomes at once."""
    async with (
        ServedApi(replace(settings, reconcile_interval_s=0.1)) as api,
        bench.worker(database_pool_max=settings.database_pool_max) as worker,
    ):
        path = await api.create_route("few", image=SHELL_IMAGE, config={"SCRIPT": "echo done"})
        later = {"Millrace-Delay": "3600"}
        runs = [(await api.ask("POST", path, data=b"x")).json["call_id"] for _ in range(4)]
        begun_s = time.monotonic()
        answers = await asyncio.gather(
            *(api.ask("POST", path, data=b"x", headers=later) for _ in range(REQUESTS)),
            *(api.get("/v1/apps/few/calls") for _ in range(REQUESTS)),
            api.post("/v1/queue/rebuild", {}),
        )
        assert {answer.status for answer in answers} == {200, 202}
        assert time.monotonic() - begun_s < 10
        for call_id in runs:
            waited = await api.get(f"/v1/apps/few/calls/{call_id}?wait=20")
            assert waited.json["call"]["status"] == CallStatus.SUCCESS, waited.body
        assert worker.why_not_ready() is None
        await eventually(lambda: turns_were_taken(api), timeout_s=20)


async def turns_were_taken(api: ServedApi) -> bool:
    turns = {row["name"] for row in await api.store.get_database().fetch("SELECT name FROM turns")}
    return turns >= {"retention", "revisions"} and len(turns) == 3
