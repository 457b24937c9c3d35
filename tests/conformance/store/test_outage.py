import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from common.errors import SettingsError, StoreUnavailableError
from common.models import new_id
from common.settings import Settings
from common.store.database import Database
from common.store.postgres import PostgresStore
from deploy.local import LocalPostgres
from tests.chaos.proxy import Proxy
from tests.conformance.store.samples import APP, a_call, claim, submit, until_blocked
from tests.polling import eventually


async def is_back(store: PostgresStore) -> bool:
    try:
        await store.check()
    except StoreUnavailableError:
        return False
    return True


async def test_a_stopped_postgres_is_unavailable_and_comes_back(own_postgres: LocalPostgres) -> None:
    settings = Settings(database_url=own_postgres.url)
    store = await PostgresStore.open(settings)
    call = a_call()
    await asyncio.gather(*(submit(store, a_call()) for _ in range(8)), submit(store, call))
    await own_postgres.stop()
    for unavailable in (
        store.check(),
        store.get_apps(),
        store.insert_calls([a_call()]),
        store.claim([], new_id(), 5),
        store.update_app(APP),
        PostgresStore.open(settings),
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            await unavailable
        assert caught.value.__cause__ is not None
    await own_postgres.start()
    await eventually(lambda: is_back(store))
    read = await asyncio.gather(*(store.get_call("app", call.id) for _ in range(16)))
    assert {answer.id for answer in read} == {call.id}
    assert await claim(store, call, 1) is not None
    await own_postgres.stop()
    await store.aclose()


async def test_connections_that_were_cut_are_replaced(store: PostgresStore, database_url: str) -> None:
    await asyncio.gather(*(store.get_apps() for _ in range(16)))
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    await eventually(lambda: is_back(store))
    assert await asyncio.gather(*(store.get_apps() for _ in range(16))) == [[]] * 16


async def test_a_statement_that_is_cut_off_is_unavailable_and_did_nothing(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)

    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR UPDATE", call.id)
        claiming = asyncio.create_task(claim(store, call, 1))
        await until_blocked(store, 1)
        await connection.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with pytest.raises(StoreUnavailableError) as caught:
            await claiming
    assert isinstance(caught.value.__cause__, asyncpg.QueryCanceledError)
    assert (await store.get_call("app", call.id)).attempt == 0


async def test_after_one_late_answer_every_half_open_connection_is_replaced(
    own_postgres: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.store.server.COMMAND_TIMEOUT_S", 0.5)
    parts = urlsplit(own_postgres.url)
    (sockets,) = parse_qs(parts.query)["host"]
    async with Proxy(lambda: f"{sockets}/.s.PGSQL.5432") as proxy:
        login = f"{parts.username}:{parts.password}"
        store = await PostgresStore.open(
            Settings(database_url=f"postgresql://{login}@{proxy.address}{parts.path}")
        )
        await asyncio.gather(*(store.get_apps() for _ in range(32)))
        assert proxy.go_deaf() > 4, "both ends of more than two connections"
        async with asyncio.timeout(0.5 + 1):
            with pytest.raises(StoreUnavailableError):
                await store.get_apps()
        async with asyncio.timeout(2):
            assert await asyncio.gather(*(store.get_apps() for _ in range(32))) == [[]] * 32
        await store.aclose()


async def test_a_cancelled_use_gives_its_connection_back(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)

    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR UPDATE", call.id)
        claims = [asyncio.create_task(claim(store, call, token)) for token in range(1, 7)]
        await until_blocked(store, 6)
        for task in claims:
            task.cancel()
        answers = await asyncio.gather(*claims, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
    found = await asyncio.gather(*(store.get_call("app", call.id) for _ in range(16)))
    assert {each.attempt for each in found} == {0}


async def test_a_statement_that_took_too_long_does_not_go_on(database_url: str) -> None:
    """Its caller was told that it failed: a change must not happen after all, nor a long read keep Postgres busy."""
    database = await Database.open(database_url)
    with pytest.raises(StoreUnavailableError):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(60)", timeout=0.3)

    async def has_ended() -> bool:
        async with database.connection() as connection:
            active: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
                " AND state = 'active' AND pid <> pg_backend_pid()"
            )
            return active == 0

    await eventually(has_ended)
    await database.aclose()


async def test_a_use_that_is_cancelled_while_its_connection_is_cut_ends(database_url: str) -> None:
    """Its transaction can't be rolled back: that error must not take the place of the cancel."""
    database, begun = await Database.open(database_url), asyncio.Event()

    async def use() -> None:
        async with database.transaction() as connection:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                connection.terminate()

    using = asyncio.create_task(use())
    await begun.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    await database.aclose()


async def test_a_closed_store_is_unavailable(database_url: str) -> None:
    store = await PostgresStore.open(Settings(database_url=database_url))
    await store.aclose()
    with pytest.raises(StoreUnavailableError):
        await store.check()


@pytest.mark.parametrize("url", ["redis://localhost/0", "nonsense", "postgresql://localhost:port/d"])
async def test_an_address_that_is_none_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await PostgresStore.open(Settings(database_url=url))
    assert caught.value.field == "MILLRACE_DATABASE_URL"


async def test_an_address_where_nobody_answers_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        await PostgresStore.open(Settings(database_url=f"postgresql://u:p@/d?host={tmp_path}"))
