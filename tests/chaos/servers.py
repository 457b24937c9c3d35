"""A Postgres and a Redis of the tests' own, to be stopped, killed and cut off; their data is gone afterwards."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from msgspec import Struct

from common.store.migrate import migrate
from deploy.local import LocalPostgres, LocalRedis
from tests.chaos.audit import Audit
from tests.chaos.cluster import Addresses
from tests.chaos.proxy import Proxy


class Servers(Struct, frozen=True, kw_only=True):
    """``*_proxy``: what may stand between a cluster and the server; the tests themselves go straight to it."""

    directory: Path
    postgres: LocalPostgres
    redis: LocalRedis
    postgres_proxy: Proxy
    redis_proxy: Proxy

    async def addresses(self, *, through_proxies: bool = False) -> Addresses:
        """Of a new database, which keeps a record of its changes, and of Redis."""
        database_url = await self._new_database()
        straight = Addresses(
            database_url=database_url,
            redis_url=self.redis.url,
            direct_database_url=database_url,
            direct_redis_url=self.redis.url,
        )
        if not through_proxies:
            return straight
        postgres, redis = urlsplit(database_url), urlsplit(self.redis.url)
        login = f"{postgres.username}:{postgres.password}"
        return Addresses(
            database_url=f"postgresql://{login}@{self.postgres_proxy.address}{postgres.path}",
            redis_url=f"redis://:{redis.password}@{self.redis_proxy.address}/0",
            direct_database_url=database_url,
            direct_redis_url=self.redis.url,
        )

    def new_directory(self) -> Path:
        """For the logs and temporary files of one cluster."""
        return Path(tempfile.mkdtemp(prefix="cluster-", dir=self.directory))

    async def _new_database(self) -> str:
        name = f"chaos_{secrets.token_hex(6)}"
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        url = urlsplit(self.postgres.url)._replace(path=f"/{name}").geturl()
        connection = await asyncpg.connect(url)
        try:
            await migrate(connection)
        finally:
            await connection.close()
        await Audit(url).install()
        return url


@asynccontextmanager
async def open_servers() -> AsyncIterator[Servers]:
    """Both, with a proxy before each. Raises LocalServerError where they can't start."""
    directory = Path(tempfile.mkdtemp(prefix="millrace-chaos-"))
    directory.chmod(0o711)  # the servers' account passes through
    try:
        async with (
            LocalPostgres(directory / "postgres") as postgres,
            LocalRedis(directory / "redis") as redis,
            Proxy(lambda: _postgres_socket(postgres)) as postgres_proxy,
            Proxy(lambda: unquote(urlsplit(redis.url).path)) as redis_proxy,
        ):
            yield Servers(
                directory=directory,
                postgres=postgres,
                redis=redis,
                postgres_proxy=postgres_proxy,
                redis_proxy=redis_proxy,
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _postgres_socket(postgres: LocalPostgres) -> str:
    (folder,) = parse_qs(urlsplit(postgres.url).query)["host"]
    return f"{folder}/.s.PGSQL.5432"
