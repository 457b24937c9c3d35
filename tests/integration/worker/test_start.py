"""How a worker starts: what it refuses, what it waits for, and a stop before it has begun."""

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from msgspec.structs import replace

from common.errors import SettingsError
from common.models import CallStatus
from tests.integration.worker.bench import Bench, child_of, free_port, is_running
from tests.polling import eventually
from worker import health
from worker.metrics import Metrics

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize(
    "changed",
    [
        {"MILLRACE_WORKER_SLOT": "1"},
        {"MILLRACE_WORKER_SLOTS": "many"},
        {"MILLRACE_DATABASE_URL": ""},
        {"MILLRACE_DATABASE_URL": "x://"},
    ],
)
async def test_settings_that_make_running_pointless_are_one_line_and_exit_2(
    bench: Bench, changed: dict[str, str]
) -> None:
    await expect_refusal(bench, changed, next(iter(changed)))


@pytest.mark.parametrize("kind", ["database", "redis"])
async def test_a_server_that_is_not_fit_ends_the_supervisor_too(bench: Bench, kind: str) -> None:
    database, redis = urlsplit(bench.settings.database_url), urlsplit(bench.settings.redis_url)
    wrong = {
        "database": {"MILLRACE_DATABASE_URL": database._replace(path="/none").geturl()},
        "redis": {"MILLRACE_REDIS_URL": redis._replace(netloc=":wrong@").geturl()},
    }[kind]
    server = {"database": "Postgres at ", "redis": "Redis at "}[kind]
    await expect_refusal(bench, wrong, server)


async def test_a_port_that_stays_taken_is_given_up_and_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PORT_MARGIN_S", 0.6)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        settings = replace(bench.settings, worker_port=server.sockets[0].getsockname()[1], drain_s=0.1)
        with pytest.raises(SettingsError, match=r"^MILLRACE_WORKER_PORT: can't listen"):
            async with health.Health(Metrics()).serve(settings):
                pass


async def test_its_port_names_no_library(bench: Bench) -> None:
    settings = replace(bench.settings, worker_port=free_port())
    async with health.Health(Metrics()).serve(settings), aiohttp.ClientSession() as client:
        for method, path, status in (
            ("GET", "/healthz", 200),
            ("GET", "/none", 404),
            ("POST", "/healthz", 405),
        ):
            url = f"http://127.0.0.1:{settings.worker_port}{path}"
            async with client.request(method, url) as answer:
                assert (answer.status, answer.headers["Server"]) == (status, "millrace")
                assert status == 200 or "error" in await answer.json()


async def test_a_port_that_cannot_be_had_is_one_line_and_exit_2(bench: Bench) -> None:
    elsewhere = {"MILLRACE_WORKER_HOST": "192.0.2.1"}  # never an address of this machine
    await expect_refusal(bench, elsewhere, "MILLRACE_WORKER_PORT")


async def test_an_engine_that_is_no_sockets_is_one_line_and_exit_2(bench: Bench) -> None:
    await expect_refusal(
        bench, {"MILLRACE_DOCKER_SOCKET": "tcp://127.0.0.1:2375"}, "Docker Engine at 'tcp://"
    )


async def test_a_worker_waits_for_its_port_until_the_orphan_before_it_has_drained(bench: Bench) -> None:
    port = free_port()
    call_id = await bench.submit("sleep 4; echo done")
    async with bench.process(worker_port=port) as first:
        await bench.running(call_id)
        orphan = child_of(first)
        first.kill()
        await first.wait()
        async with bench.process(worker_port=port):
            later = await bench.submit("echo done")
            assert (await bench.finished(later)).status is CallStatus.SUCCESS
            await eventually(lambda: not is_running(orphan))
            call = await bench.call(call_id)
            assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)


async def test_a_worker_that_waits_for_its_port_can_be_stopped(bench: Bench) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker"),
            env=bench._environ({}) | {"MILLRACE_WORKER_PORT": port},
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert worker.stderr
        async with asyncio.timeout(20):
            async for line in worker.stderr:
                if b"port is taken" in line:
                    break
            worker.terminate()
            await worker.communicate()
        assert worker.returncode == 0


async def test_a_stop_in_the_childs_first_moments_is_an_orderly_one(bench: Bench) -> None:
    async with bench.process() as worker:
        await eventually(lambda: has_child(worker))
        worker.terminate()
        assert await worker.wait() == 0


async def expect_refusal(bench: Bench, changed: dict[str, str], variable: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker"),
        env=bench._environ({}) | changed,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    async with asyncio.timeout(20):
        _, output = await process.communicate()
    assert process.returncode == 2
    said = [line for line in output.decode().splitlines() if not line.startswith("{")]
    assert len(said) == 1, output
    assert said[0].startswith(f"millrace worker: {variable}")


def has_child(process: Process) -> bool:
    return bool(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
