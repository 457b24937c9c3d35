"""A Postgres that is not fit is told from one that is not there yet, by its name and the cause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urlsplit

import asyncpg
import pytest

from common.errors import ServerUnusableError, StoreUnavailableError
from common.settings import Settings
from common.store import server
from common.store.postgres import PostgresStore

PASSWORD = "Tr0ub4dor"


@pytest.fixture
async def admin(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the test's empty database."""
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def other_user(admin: asyncpg.Connection, url: str) -> AsyncIterator[str]:
    """The address of the database for a user without any rights but to connect."""
    user = f"user_{id(admin)}"
    await admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    parts = urlsplit(url)
    try:
        yield with_login(parts, user, PASSWORD)
    finally:
        await admin.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")


def with_login(parts: SplitResult, user: str, password: str) -> str:
    return parts._replace(netloc=f"{user}:{password}@").geturl()


async def refusal(url: str) -> str:
    """Why a store on *url* can't be opened; never with the password in it."""
    with pytest.raises(ServerUnusableError) as caught:
        await PostgresStore.open(Settings(database_url=url))
    text = caught.value.message
    assert PASSWORD not in text
    assert urlsplit(url).password not in text.split()
    assert text.startswith("Postgres at ")
    assert "\n" not in text
    return text


async def test_a_user_without_rights(admin: asyncpg.Connection, empty_database_url: str) -> None:
    async with other_user(admin, empty_database_url) as url:
        text = await refusal(url)
        assert "permission denied for schema public" in text
        assert urlsplit(url).path in text


async def test_a_wrong_password_user_or_database(empty_database_url: str) -> None:
    parts = urlsplit(empty_database_url)
    assert "password authentication failed" in await refusal(with_login(parts, "millrace", PASSWORD))
    assert "password authentication failed" in await refusal(with_login(parts, "nobody", PASSWORD))
    assert 'database "none" does not exist' in await refusal(parts._replace(path="/none").geturl())
    assert "password" in await refusal(parts._replace(netloc="millrace@").geturl())


async def test_another_encoding(admin: asyncpg.Connection, empty_database_url: str) -> None:
    name = f"latin_{id(admin)}"
    await admin.execute(
        f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    )
    try:
        text = await refusal(urlsplit(empty_database_url)._replace(path=f"/{name}").geturl())
        assert "its encoding is LATIN1" in text
    finally:
        await admin.execute(f"DROP DATABASE {name}")


async def test_another_isolation(admin: asyncpg.Connection, empty_database_url: str) -> None:
    name = urlsplit(empty_database_url).path.strip("/")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    assert "default_transaction_isolation is 'serializable'" in await refusal(empty_database_url)


async def test_a_version_that_is_too_old(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "VERSION_MIN", 99)
    text = await refusal(database_url)
    assert "it is version 18" in text
    assert "99 is the oldest" in text


async def test_tables_of_another_program(admin: asyncpg.Connection, empty_database_url: str) -> None:
    await admin.execute("CREATE TABLE calls (theirs int)")
    assert 'relation "calls" already exists' in await refusal(empty_database_url)


async def test_a_host_that_nobody_knows() -> None:
    text = await refusal("postgresql://me:x@no-such-host.invalid:1/db")
    assert "no-such-host.invalid:1/db" in text
    assert "known" in text or "No address" in text


async def test_a_server_without_tls_where_it_is_required() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        is_over.set()

    is_over = asyncio.Event()
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        assert "rejected SSL upgrade" in await refusal(
            f"postgresql://me:x@127.0.0.1:{port}/db?sslmode=require"
        )
        await is_over.wait()


@pytest.mark.parametrize(
    "url", ["postgresql://me:x@127.0.0.1:1/db", "postgresql://me:x@/db?host=/nowhere"], ids=["port", "socket"]
)
async def test_a_server_that_is_not_there_yet_is_only_unavailable(url: str) -> None:
    with pytest.raises(StoreUnavailableError, match=r"^Postgres at .*:\d+/db is unavailable$"):
        await PostgresStore.open(Settings(database_url=url))
