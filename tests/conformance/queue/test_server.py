"""A Redis that is not fit is told from one that is not there yet, by its name and the cause."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from common.errors import QueueUnavailableError, ServerUnusableError
from common.queue import redis as implementation
from common.queue.redis import RedisQueue
from common.settings import Settings

PASSWORD = "Tr0ub4dor"


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, protocol=2) as client:
        yield client


async def refusal(url: str) -> str:
    """Why a queue on *url* can't be used; never with the password in it."""
    queue = RedisQueue.open(Settings(redis_url=url, queue_name="test-server"))
    with pytest.raises(ServerUnusableError) as caught:
        await queue.check()
    await queue.aclose()
    text = caught.value.message
    assert PASSWORD not in text
    assert text.startswith("Redis at ")
    assert "\n" not in text
    return text


async def test_a_wrong_password_or_none(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    assert "invalid username-password" in await refusal(parts._replace(netloc=f":{PASSWORD}@").geturl())
    assert "Authentication required" in await refusal(f"unix://{parts.path}?db=0")


async def test_a_user_who_may_read_but_run_no_script(admin: Redis, redis_url: str) -> None:
    parts = urlsplit(redis_url)
    for rights in ("~* +@read +info", "~other +@all"):
        user: Any = admin  # execute_command is untyped
        await user.execute_command("ACL", "SETUSER", "few", "reset", "on", f">{PASSWORD}", *rights.split())
        text = await refusal(parts._replace(netloc=f"few:{PASSWORD}@").geturl())
        assert "permission" in text or "NOPERM" in text
    await admin.acl_deluser("few")


async def test_a_database_that_there_is_not(redis_url: str) -> None:
    assert "DB index is out of range" in await refusal(redis_url.replace("db=0", "db=99"))


async def test_a_version_that_is_too_old(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "VERSION_MIN", (99, 0))
    assert "it is version 6.2" in await refusal(redis_url)


async def test_what_is_no_redis() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        assert f"127.0.0.1:{port}/0" in await refusal(f"redis://127.0.0.1:{port}")


async def test_a_host_that_nobody_knows() -> None:
    assert "no-such-host.invalid:6379/0" in await refusal("redis://no-such-host.invalid")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///nowhere/redis.sock"])
async def test_a_server_that_is_not_there_yet_is_only_unavailable(url: str) -> None:
    queue = RedisQueue.open(Settings(redis_url=url))
    with pytest.raises(QueueUnavailableError):
        await queue.check()
    await queue.aclose()
