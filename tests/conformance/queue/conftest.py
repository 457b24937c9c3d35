"""Each queue test runs on a real Redis 6.2 and on a real Redis 7, with a queue name of its own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from common.models import new_id
from common.queue.redis import RedisQueue
from common.settings import Settings
from deploy.local import LocalRedis, LocalServerError, RedisChoice
from deploy.local.account import own_account
from deploy.local.binaries import redis_program
from tests.conftest import skip_or_fail

OpenQueue = Callable[..., RedisQueue]


@pytest.fixture(params=["redis_url", "redis7_url"], ids=["redis6", "redis7"])
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def admin(server_url: str) -> AsyncIterator[Redis]:
    """A plain client of the shared server: to look, and to break connections."""
    async with Redis.from_url(server_url, protocol=2) as client:
        yield client


@pytest.fixture
async def open_queue(server_url: str, admin: Redis) -> AsyncIterator[OpenQueue]:
    """Open clients of one queue, as many processes would; keyword arguments are settings."""
    name = f"test-{uuid4().hex}"
    opened: list[RedisQueue] = []

    def open_one(**settings: Any) -> RedisQueue:
        opened.append(RedisQueue.open(Settings(redis_url=server_url, queue_name=name, **settings)))
        return opened[-1]

    yield open_one
    for queue in opened:
        await queue.aclose()
    if left := await admin.keys(f"{{millrace:{name}}}:*"):
        await admin.delete(*left)


@pytest.fixture
def queue(open_queue: OpenQueue) -> RedisQueue:
    return open_queue()


@pytest.fixture
def hasty_queue(open_queue: OpenQueue) -> RedisQueue:
    """A queue whose leases last 50 ms."""
    return open_queue(lease_s=0.05)


@pytest.fixture
def incarnation() -> UUID:
    return new_id()


@pytest.fixture(params=["6.2", "system"], ids=["redis6", "redis7"])
async def own_redis(request: pytest.FixtureRequest, servers_directory: Path) -> AsyncIterator[LocalRedis]:
    """A server of the test's own, to fill, flush and restart."""
    server = LocalRedis(servers_directory / uuid4().hex[:8], request.param)
    try:
        await server.start()
    except LocalServerError as error:
        skip_or_fail(str(error))
    yield server
    await server.stop()


@pytest.fixture
async def own_queue(own_redis: LocalRedis) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue.open(Settings(redis_url=own_redis.url))
    yield queue
    await queue.aclose()


@pytest.fixture
async def own_admin(own_redis: LocalRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_redis.url, protocol=2) as client:
        yield client


@pytest.fixture(params=["6.2", "system"], ids=["redis6", "redis7"])
def choice(request: pytest.FixtureRequest) -> RedisChoice:
    chosen: RedisChoice = request.param
    return chosen


@pytest.fixture
async def program(choice: RedisChoice, servers_directory: Path) -> Path:
    try:
        return (await redis_program(choice, servers_directory / "programs", own_account())).path
    except LocalServerError as error:
        skip_or_fail(str(error))
