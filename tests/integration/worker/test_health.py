"""What a worker says of itself on its port, and to whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from msgspec.structs import replace

from common.models import Scope, Token, hash_secret, new_id, new_secret
from tests.integration.worker.bench import Bench, free_port
from tests.integration.worker.test_outages import Relay
from tests.polling import eventually
from worker.access import Access
from worker.app import Worker
from worker.health import Health, Watched


@asynccontextmanager
async def served(bench: Bench, worker: Worker) -> AsyncIterator[aiohttp.ClientSession]:
    """The port of this worker, which runs in this process."""
    health = Health(worker.metrics)
    health.attach(Watched(worker.why_not_ready, worker.checks, Access(bench.store.get_tokens)))
    port = free_port()
    settings = replace(bench.settings, worker_port=port)
    async with health.serve(settings), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        yield http


async def asked(http: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str]:
    async with http.get(
        path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    ) as reply:
        return reply.status, await reply.text()


async def test_metrics_are_for_this_machine_or_for_an_admin(bench: Bench) -> None:
    async with bench.worker() as worker, served(bench, worker) as http:
        status, text = await asked(http, "/metrics")
        assert status == 200
        for server in ("postgres", "redis", "engine"):
            assert f'millrace_server_up{{server="{server}"}} 1.0' in text
        assert "millrace_queue" not in text
        for headers in (
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Sec_Fetch_Site": "cross-site"},
        ):
            status, text = await asked(http, "/metrics", **headers)
            assert status == 403
            assert "millrace_" not in text
            assert (await asked(http, "/readyz", **headers))[0] == 200  # probes ask by address
        secrets = {}
        for scope in (Scope.ADMIN, Scope.APP):
            secrets[scope] = new_secret()
            app_name = None if scope is Scope.ADMIN else "bench"
            token = Token(
                id=new_id(), name="t", scope=scope, app_name=app_name, hash=hash_secret(secrets[scope])
            )
            await bench.store.insert_token(token)

        async def is_closed() -> bool:
            return (await asked(http, "/metrics"))[0] == 401

        await eventually(is_closed)
        bearer = {scope: f"Bearer {secret}" for scope, secret in secrets.items()}
        assert (await asked(http, "/metrics", Authorization=bearer[Scope.ADMIN], Host="10.0.0.5:8081"))[
            0
        ] == 200
        assert (await asked(http, "/metrics", Authorization=bearer[Scope.APP]))[0] == 403
        assert (await asked(http, "/metrics", Authorization="Bearer mr_x"))[0] == 401
        assert (await asked(http, "/healthz"))[0] == 200


async def test_what_keeps_a_worker_from_taking_calls_is_named_at_once(bench: Bench, tmp_path: Path) -> None:
    relay = Relay(tmp_path / "engine.sock")
    await relay.open()
    async with bench.worker(docker_socket=str(relay.path)) as worker, served(bench, worker) as http:
        assert (await asked(http, "/readyz"))[0] == 200
        await relay.cut()
        status, text = await asked(http, "/readyz")
        assert status == 503
        assert "engine: Container engine is unavailable" in text
        assert '"postgres": "ok"' in text
        assert 'millrace_server_up{server="engine"} 0.0' in (await asked(http, "/metrics"))[1]


async def test_a_worker_that_drains_says_so_to_probes_and_operators(bench: Bench) -> None:
    async with bench.worker() as worker:
        (shown,) = await bench.store.get_workers(10, 10)
        assert shown.state == "live"
        call_id = await bench.submit("sleep 2")
        await bench.running(call_id)
        async with served(bench, worker) as http:
            stopping = asyncio.create_task(drained(bench, http))
            worker.heartbeat.drain()
            worker.loop.stop()
            await stopping


async def drained(bench: Bench, http: aiohttp.ClientSession) -> None:
    async def is_shown() -> bool:
        (shown,) = await bench.store.get_workers(10, 10)
        return shown.state == "draining"

    await eventually(is_shown, timeout_s=3)  # at once, not with the next heartbeat
    status, text = await asked(http, "/readyz")
    assert status == 503
    assert "draining" in text
