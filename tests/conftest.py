"""Real servers for every tier: one Postgres and one Redis of each kind per test run, a fresh database per test.

A service that is missing skips its tests on a laptop and fails them where CI=true.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from deploy.local import LocalPostgres, LocalRedis, LocalServerError, RedisChoice

TEMPLATE = "millrace_template"
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
SERVERS_BYTES = 3 * 2**30


# Tests of these modules use the engine's one network of functions, or remove it: in one process, one after the other.
OF_THE_NETWORK = {"test_network", "test_sandbox", "test_outcomes"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module in one process, where several run them."""
    for item in items:
        group = "network" if item.path.stem in OF_THE_NETWORK else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


def skip_or_fail(missing: str) -> NoReturn:
    """Skip the test for want of *missing*; where CI=true, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """A directory that the servers' account can pass through; pytest's own are closed to it when root tests.

    In memory where there is enough: a fresh database for each test is hundreds of new files.
    """
    parent = MEMORY if _can_hold_servers(MEMORY) else None
    directory = Path(tempfile.mkdtemp(prefix="millrace-test-", dir=parent))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_url(servers_directory: Path) -> AsyncIterator[str]:
    """An embedded Postgres, with the migrated template that `database_url` copies."""
    from common.store.migrate import migrate  # only here: unit tests need neither servers nor the store

    async with LocalPostgres(servers_directory / "postgres") as server:
        await _execute(server.url, f"CREATE DATABASE {TEMPLATE}")
        connection = await asyncpg.connect(_with_database(server.url, TEMPLATE))
        try:
            await migrate(connection)
        finally:
            await connection.close()
        yield server.url


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A migrated, empty database of the test's own."""
    async with _database(postgres_url, TEMPLATE) as url:
        yield url


@pytest.fixture
async def own_postgres(servers_directory: Path) -> AsyncIterator[LocalPostgres]:
    """A Postgres of the test's own, to be stopped; without any table."""
    with tempfile.TemporaryDirectory(dir=servers_directory) as directory:
        Path(directory).chmod(0o711)
        server = LocalPostgres(Path(directory) / "postgres")
        await server.start()
        yield server
        await server.stop()


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own without any table."""
    async with _database(postgres_url, "template1") as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_url(servers_directory: Path) -> AsyncIterator[str]:
    """An embedded Redis 6.2. The whole run shares it: a test uses a queue name of its own."""
    async with _redis(servers_directory / "redis6", "6.2") as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis7_url(servers_directory: Path) -> AsyncIterator[str]:
    """The machine's own redis-server, 7 or later, shared as `redis_url` is."""
    async with _redis(servers_directory / "redis7", "system") as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def docker() -> str:
    """The version of the Docker Engine that answers."""
    program = shutil.which("docker")
    if program is None:
        skip_or_fail("the docker command is not installed: ./deploy/test installs it as root")
    process = await asyncio.create_subprocess_exec(
        *(program, "version", "--format", "{{.Server.Version}}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        output, errors = await process.communicate()
    if process.returncode != 0:
        skip_or_fail(f"no Docker Engine answers: {errors.decode().strip()}")
    return output.decode().strip()


@asynccontextmanager
async def _redis(directory: Path, choice: RedisChoice) -> AsyncIterator[str]:
    server = LocalRedis(directory, choice)
    try:
        await server.start()
    except LocalServerError as error:
        skip_or_fail(str(error))
    try:
        yield server.url
    finally:
        await server.stop()


def _can_hold_servers(directory: Path) -> bool:
    """Whether there is room, and programs may run from there."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= SERVERS_BYTES and not found.f_flag & os.ST_NOEXEC


@asynccontextmanager
async def _database(server_url: str, template: str) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _with_database(server_url, name)
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
