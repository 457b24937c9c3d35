"""An api per test, on a database and a queue of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from api import restoring
from api.maintenance import Maintenance
from common.settings import Settings
from deploy.local import LocalPostgres, LocalRedis
from tests.integration.api.served import ServedApi


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, queue_name=f"test-{uuid4().hex}")


@pytest.fixture(autouse=True)
def short_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that the queue does not know is looked at again soon: tests need not wait for it."""
    monkeypatch.setattr(restoring, "DOUBT_S", 0.05)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No maintenance but the test's own: that of an api begins with its start, and ends who knows when."""
    monkeypatch.setattr(Maintenance, "start", lambda _maintenance: None)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[ServedApi]:
    async with ServedApi(settings) as api:
        yield api


@pytest.fixture
async def own_postgres(servers_directory: Path) -> AsyncIterator[LocalPostgres]:
    """A Postgres of the test's own, to stop."""
    async with LocalPostgres(servers_directory / f"postgres-{uuid4().hex[:8]}") as server:
        yield server


@pytest.fixture
async def own_redis(servers_directory: Path) -> AsyncIterator[LocalRedis]:
    """A Redis of the test's own, to flush, stop and pause."""
    async with LocalRedis(servers_directory / f"redis-{uuid4().hex[:8]}", "6.2") as server:
        yield server


@pytest.fixture
async def admin(own_redis: LocalRedis) -> AsyncIterator[Redis]:
    """A plain client of the test's own Redis."""
    async with Redis.from_url(own_redis.url, protocol=2) as client:
        yield client
