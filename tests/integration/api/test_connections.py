"""Connections: how many, of each address and in all, and how long the head of a request may take."""

import asyncio
import json
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from api import connections
from api.keys import CONNECTIONS
from common.settings import Settings
from tests.integration.api.served import ServedApi
from tests.polling import eventually

REQUEST = b"GET /version HTTP/1.1\r\nHost: localhost\r\n"


class Opened(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answers(self) -> bool:
        """Whether a request on it is answered with 200."""
        self.writer.write(REQUEST + b"\r\n")
        async with asyncio.timeout(10):
            try:
                return b" 200 " in await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return False


Connect = Callable[..., Awaitable[Opened]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections to a port from an address of the loopback; closes them in the end."""
    made: list[Opened] = []

    async def connect(port: int, address: str = "127.0.0.1") -> Opened:
        made.append(Opened(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))))
        return made[-1]

    yield connect
    for one in made:
        one.writer.close()


def error_in(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json; charset=utf-8\r\n" in head
    assert b"Server: millrace\r\n" in head
    return json.loads(body)["error"]


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[ServedApi]:
    async with ServedApi(replace(settings, connections_max=20)) as api:
        yield api


async def test_one_address_leaves_connections_to_others(small: ServedApi, connect: Connect) -> None:
    mine = [await connect(small.port) for _ in range(10)]
    assert all([await one.answers() for one in mine])
    refused = await connect(small.port)
    refused.writer.write(REQUEST + b"\r\n")
    async with asyncio.timeout(10):
        answer = await refused.reader.read()
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 5\r\n" in answer
    error = error_in(answer)
    assert error["code"] == "too_many_connections"
    assert "this client holds 10 of 20 connections" in error["message"]
    others = [await connect(small.port, "127.0.0.2") for _ in range(5)]
    assert all([await one.answers() for one in others])
    assert not await (await connect(small.port, "127.0.0.2")).answers()
    metrics = small.app[CONNECTIONS]._metrics.render()
    assert b'millrace_requests_refused_total{code="too_many_connections"} 2.0' in metrics
    for one in (*mine, *others):
        one.writer.close()
    await eventually(lambda: small.app[CONNECTIONS].shares.used == 0)
    assert (await small.get("/version")).status == 200


async def test_this_machine_gets_through_while_others_are_refused(small: ServedApi) -> None:
    counts = small.app[CONNECTIONS]
    while any(counts.let_in(f"192.0.2.{number}") for number in range(20)):
        pass
    assert counts.shares.used == 18
    assert (await small.get("/healthz")).status == 200


async def test_a_head_that_does_not_come_ends_the_connection(
    api: ServedApi, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    silent, slow, second = [await connect(api.port) for _ in range(3)]
    slow.writer.write(REQUEST)
    assert await second.answers()
    await asyncio.wait_for(second.reader.readuntil(b"}\n"), 5)
    second.writer.write(REQUEST[:7])
    async with asyncio.timeout(5):
        assert await silent.reader.read() == b""
        for one in (slow, second):
            answer = await one.reader.read()
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert error_in(answer)["code"] == "head_timeout"


async def test_who_waits_for_an_answer_or_rests_between_two_requests_is_left_alone(
    api: ServedApi, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    call_id = await api.submit(await api.create_route())
    one = await connect(api.port)
    one.writer.write(REQUEST.replace(b"/version", f"/v1/apps/app/calls/{call_id}?wait=1".encode()) + b"\r\n")
    answer = await asyncio.wait_for(one.reader.readuntil(b"}}\n"), 10)
    assert b" 200 " in answer
    await asyncio.sleep(0.5)  # longer than a head may take
    assert await one.answers()


@asynccontextmanager
async def process(settings: Settings, port: int, files: tuple[int, int], log: Path) -> AsyncIterator[int]:
    """An api of its own, started with these limits of open files."""
    environ = {
        "MILLRACE_DATABASE_URL": settings.database_url,
        "MILLRACE_REDIS_URL": settings.redis_url,
        "MILLRACE_QUEUE_NAME": settings.queue_name,
        "MILLRACE_PORT": str(port),
        "MILLRACE_LOG_FORMAT": "json",
    }
    with log.open("wb") as errors:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api",
            env=environ,
            stdout=errors,
            stderr=errors,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, files),
        )
    try:
        await eventually(lambda: b'"listening"' in log.read_bytes(), 20)
        yield started.pid
    finally:
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await started.wait() == 0


async def test_a_flood_of_connections_meets_the_limit_and_never_that_of_open_files(
    settings: Settings, unused_tcp_port: int, tmp_path: Path, connect: Connect
) -> None:
    log = tmp_path / "log"
    async with process(settings, unused_tcp_port, (60, 300), log) as pid:
        assert "300                  300" in Path(f"/proc/{pid}/limits").read_text()
        flood = [socket.create_connection(("127.0.0.1", unused_tcp_port)) for _ in range(600)]
        at_most = 300 - connections.FILES_KEPT

        def files() -> int:
            return len(list(Path(f"/proc/{pid}/fd").iterdir()))

        await eventually(lambda: files() > at_most // 2)
        assert files() < 300
        for one in flood:
            one.close()

        async def answers() -> bool:
            return await (await connect(unused_tcp_port)).answers()

        await eventually(answers)
    lines = log.read_text()
    assert lines.count("connections are refused") == 1
    assert "Too many open files" not in lines
