"""The real process: how it starts, why it refuses to, and how it ends."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from msgspec.structs import replace
from redis.asyncio import Redis

from api.app import _start, create_runner
from api.connections import Connections
from api.keys import CONNECTIONS, SETTINGS
from api.metrics import Metrics
from common.errors import SettingsError
from common.settings import Settings
from deploy.local import LocalRedis
from tests.polling import eventually


async def start(**settings: object) -> Process:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    environ |= {f"MILLRACE_{name.upper()}": str(value) for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "api", env=environ, stderr=PIPE)


async def end_of(process: Process) -> tuple[int, str]:
    try:
        async with asyncio.timeout(20):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, errors.decode()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "MILLRACE_DATABASE_URL"),
        ({"prot": 1}, "MILLRACE_PROT"),
        ({"port": 0}, "MILLRACE_PORT"),
        ({"database_url": "nonsense"}, "MILLRACE_DATABASE_URL"),
    ],
)
async def test_bad_settings_are_one_line_and_exit_code_2(settings: dict[str, object], named: str) -> None:
    known = {"database_url": "postgresql://localhost/x", "redis_url": "redis://localhost"} if settings else {}
    code, errors = await end_of(await start(**{**known, **settings}))
    assert code == 2, errors
    assert errors.startswith("millrace api: ")
    assert named in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", "192.0.2.1"])
async def test_an_address_of_others_is_refused_while_there_is_no_token(settings: Settings, host: str) -> None:
    code, errors = await end_of(
        await start(database_url=settings.database_url, redis_url=settings.redis_url, host=host)
    )
    assert code == 2
    last = errors.splitlines()[-1]
    assert last.startswith("millrace api: MILLRACE_HOST: ")
    assert "millrace tokens create NAME --scope admin" in last
    assert settings.database_url not in errors
    assert "Traceback" not in errors


async def test_a_schema_from_the_future_is_refused(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'future', 'x')"
    )
    await connection.close()
    code, errors = await end_of(await start(database_url=settings.database_url, redis_url=settings.redis_url))
    assert code == 2
    assert "newer than this version" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("kind", ["database", "redis"])
async def test_a_server_that_is_not_fit_is_one_line_that_names_it(settings: Settings, kind: str) -> None:
    wrong = {
        "database": {"database_url": urlsplit(settings.database_url)._replace(path="/none").geturl()},
        "redis": {"redis_url": urlsplit(settings.redis_url)._replace(netloc=":wr0ng@").geturl()},
    }[kind]
    known = {"database_url": settings.database_url, "redis_url": settings.redis_url}
    code, errors = await end_of(await start(**{**known, **wrong}, port=free_port()))
    assert code == 2
    said = [line for line in errors.splitlines() if not line.startswith("{")]
    assert len(said) == 1, errors
    assert f"MILLRACE_{kind.upper()}_URL" in said[0]
    assert "wr0ng" not in errors
    assert str(urlsplit(settings.database_url).password) not in errors


async def test_a_redis_that_may_evict_is_refused(
    settings: Settings, own_redis: LocalRedis, admin: Redis
) -> None:
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    code, errors = await end_of(await start(database_url=settings.database_url, redis_url=own_redis.url))
    assert code == 2
    assert "maxmemory-policy" in errors
    assert "Traceback" not in errors


async def test_a_taken_port_is_one_line(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = await end_of(
            await start(database_url=settings.database_url, redis_url=settings.redis_url, port=port)
        )
    assert code == 2
    last = errors.splitlines()[-1]
    assert last.startswith(f"millrace api: MILLRACE_PORT: can't listen on 127.0.0.1:{port}: ")
    assert errors.count("MILLRACE_PORT") == 1
    assert "Traceback" not in errors


async def test_a_host_that_is_not_here_is_named(settings: Settings) -> None:
    # Never an address of this machine. Without tokens the process refuses it earlier, so its start is asked alone.
    unheld = replace(settings, host="192.0.2.1", port=free_port())
    app = web.Application()
    app[CONNECTIONS] = Connections(1000, Metrics())
    app[SETTINGS] = unheld
    runner = create_runner(app)
    with pytest.raises(SettingsError) as caught:
        await _start(runner, unheld)
    await runner.cleanup()
    assert caught.value.field == "MILLRACE_HOST"


async def test_a_server_that_is_away_is_waited_for(settings: Settings, own_redis: LocalRedis) -> None:
    await own_redis.stop()
    process = await start(database_url=settings.database_url, redis_url=own_redis.url, port=free_port())
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"Redis does not answer yet" not in (line := await process.stderr.readline()):
            assert line, "it ended"
        await own_redis.start()
        while b"listening" not in (line := await process.stderr.readline()):
            assert line, "it ended"
    process.send_signal(signal.SIGTERM)
    assert (await end_of(process))[0] == 0


async def test_waiting_ends_when_told_to(settings: Settings, own_redis: LocalRedis) -> None:
    await own_redis.stop()
    process = await start(database_url=settings.database_url, redis_url=own_redis.url, port=free_port())
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"Redis does not answer yet" not in (line := await process.stderr.readline()):
            assert line, "it ended"
    process.send_signal(signal.SIGTERM)
    assert (await end_of(process))[0] == 0


async def test_the_end_answers_what_was_begun(settings: Settings) -> None:
    port = free_port()
    process = await start(
        database_url=settings.database_url,
        redis_url=settings.redis_url,
        queue_name=settings.queue_name,
        port=port,
    )
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

        async def is_ready() -> bool:
            try:
                async with http.get("/readyz") as reply:
                    return reply.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually(is_ready, timeout_s=20)
        route = {"route": {"path": "/p", "image": "i", "type": "async"}}
        async with http.post("/v1/apps/a/routes", json=route) as reply:
            assert reply.status == 200

        async def submit() -> int:
            async with http.post("/r/a/p") as reply:
                return reply.status

        begun = [asyncio.create_task(submit()) for _ in range(20)]
        await asyncio.sleep(0)
        answers = asyncio.gather(*begun, return_exceptions=True)
        await begun[0]
        process.send_signal(signal.SIGTERM)
        accepted = (await answers).count(202)
    assert (await end_of(process))[0] == 0
    connection = await asyncpg.connect(settings.database_url)
    assert await connection.fetchval("SELECT count(*) FROM calls") >= accepted >= 1
    await connection.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_an_api_that_ends_answers_what_comes_on_open_connections(settings: Settings) -> None:
    port = free_port()
    process = await start(database_url=settings.database_url, redis_url=settings.redis_url, port=port)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as http:

        async def look() -> str | None:
            """What the answer says of its connection; refused if there is none."""
            try:
                async with http.get("/version") as reply:
                    return reply.headers.get("Connection", "open")
            except aiohttp.ClientConnectorError:
                return "refused"

        await eventually(lambda: is_open(look), timeout_s=20)
        process.send_signal(signal.SIGTERM)
        seen = await eventually(lambda: after_open(look))
        assert seen == "close"  # the open connection had one more answer, and only then none is had
        assert await look() == "refused"
    assert (await end_of(process))[0] == 0


async def is_open(look: Callable[[], Awaitable[str | None]]) -> bool:
    return await look() == "open"


async def after_open(look: Callable[[], Awaitable[str | None]]) -> str | None:
    seen = await look()
    return None if seen == "open" else seen
