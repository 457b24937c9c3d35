import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from common.errors import SchemaChangedError, SchemaTooNewError
from common.settings import Settings
from common.store.migrate import load_migrations, migrate
from common.store.postgres import PostgresStore


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def applied(connection: asyncpg.Connection) -> list[tuple[int, str]]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations ORDER BY version")
    return [(row["version"], row["checksum"]) for row in rows]


def known() -> list[tuple[int, str]]:
    return [(migration.version, migration.checksum) for migration in load_migrations()]


async def test_an_empty_database_gets_every_migration(empty: asyncpg.Connection) -> None:
    await migrate(empty)
    assert await applied(empty) == known()
    assert await empty.fetchval("SELECT count(*) FROM calls") == 0


async def test_migrating_again_changes_nothing(empty: asyncpg.Connection) -> None:
    await migrate(empty)
    before = await empty.fetch("SELECT * FROM schema_migrations")
    await migrate(empty)
    assert await empty.fetch("SELECT * FROM schema_migrations") == before


async def test_many_migrate_at_once(empty: asyncpg.Connection, empty_database_url: str) -> None:
    connections = [await asyncpg.connect(empty_database_url) for _ in range(6)]
    try:
        await asyncio.gather(*map(migrate, connections))
    finally:
        for connection in connections:
            await connection.close()
    assert await applied(empty) == known()


async def test_a_newer_schema_is_refused(empty: asyncpg.Connection, empty_database_url: str) -> None:
    await migrate(empty)
    await empty.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'of_the_future', '')"
    )
    with pytest.raises(SchemaTooNewError, match="9999_of_the_future"):
        await migrate(empty)
    with pytest.raises(SchemaTooNewError):
        await PostgresStore.open(Settings(database_url=empty_database_url))


async def test_a_newer_schema_that_is_compatible_is_used_as_it_is(
    empty: asyncpg.Connection, empty_database_url: str
) -> None:
    await migrate(empty)
    newest = load_migrations()[-1].version
    insert = (
        "INSERT INTO schema_migrations (version, name, checksum, compatible_since) VALUES ($1, $2, '', $3)"
    )
    await empty.execute(insert, newest + 1, "later", newest - 1)
    await empty.execute(insert, newest + 2, "later_still", newest)
    store = await PostgresStore.open(Settings(database_url=empty_database_url))
    assert await store.get_apps() == []
    await store.aclose()
    await empty.execute(insert, newest + 3, "too_much", newest + 1)
    with pytest.raises(SchemaTooNewError, match=rf"{newest + 3:04}_too_much.*knows {newest:04}"):
        await PostgresStore.open(Settings(database_url=empty_database_url))


async def test_the_table_of_the_first_version_is_completed(empty: asyncpg.Connection) -> None:
    columns = "version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL"
    await empty.execute(f"CREATE TABLE schema_migrations ({columns}, applied_at timestamptz DEFAULT now())")
    await migrate(empty)
    assert await applied(empty) == known()
    await empty.execute("ALTER TABLE schema_migrations DROP COLUMN compatible_since")
    await migrate(empty)
    assert await applied(empty) == known()


async def test_who_has_nothing_to_migrate_needs_no_right_to(
    empty: asyncpg.Connection, empty_database_url: str
) -> None:
    await migrate(empty)
    await empty.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    try:
        await empty.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain")
        url = urlsplit(empty_database_url)._replace(netloc="plain:plain@").geturl()
        store = await PostgresStore.open(Settings(database_url=url))
        assert await store.get_apps() == []
        await store.aclose()
    finally:
        await empty.execute("DROP OWNED BY plain; DROP ROLE plain")


@pytest.mark.parametrize(
    "change",
    ["UPDATE schema_migrations SET checksum = 'x'", "UPDATE schema_migrations SET name = 'x'"],
    ids=["checksum", "name"],
)
async def test_a_changed_migration_is_refused(
    empty: asyncpg.Connection, empty_database_url: str, change: str
) -> None:
    await migrate(empty)
    await empty.execute(change)
    with pytest.raises(SchemaChangedError, match="0001_"):
        await migrate(empty)
    with pytest.raises(SchemaChangedError):
        await PostgresStore.open(Settings(database_url=empty_database_url))


async def test_a_migration_that_fails_leaves_nothing_behind(empty: asyncpg.Connection) -> None:
    await empty.execute("CREATE TABLE workers (in_the_way int)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty)
    assert await empty.fetchval(
        "SELECT to_regclass('calls') IS NULL AND to_regclass('schema_migrations') IS NULL"
    )
    await empty.execute("DROP TABLE workers")
    await migrate(empty)
    assert await applied(empty) == known()
