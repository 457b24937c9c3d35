"""A whole Millrace for a test: api and worker as real processes on a database and a queue of the test's own."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import aiohttp
from multidict import CIMultiDictProxy

from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE

FINAL = {"success", "error", "cancelled"}

Json = dict[str, Any]


class System:
    """Starts and stops the processes, speaks HTTP to the api, and asks the engine what containers are left."""

    def __init__(self, database_url: str, redis_url: str, logs: Path) -> None:
        self.redis_url = redis_url
        self.queue_name = f"e2e-{secrets.token_hex(6)}"
        self.port, self.worker_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._logs = logs
        self._processes: list[Process] = []
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")
        } | {
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_REDIS_URL": redis_url,
            "MILLRACE_QUEUE_NAME": self.queue_name,
            "MILLRACE_PORT": str(self.port),
            "MILLRACE_WORKER_PORT": str(self.worker_port),
            "MILLRACE_RECONCILE_INTERVAL_S": "1",
            "MILLRACE_NETWORK": "none",
        }

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=30))
        try:
            await self.start_api()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for process in reversed(self._processes):
            await stop(process)
        await self._http.close()

    async def start_api(self) -> Process:
        return await self._start("api", self.port, {})

    async def start_worker(self, **settings: object) -> Process:
        """A worker with these settings, ready to run calls."""
        return await self._start("worker", self.worker_port, settings)

    async def _start(self, module: str, port: int, settings: Json) -> Process:
        environ = {f"MILLRACE_{name.upper()}": str(value) for name, value in settings.items()}
        with (self._logs / f"{module}-{len(self._processes)}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module),
                env=self._environ | environ,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

        async def is_ready() -> bool:
            assert process.returncode is None, f"{module} ended with {process.returncode}"
            try:
                async with self._http.get(f"http://127.0.0.1:{port}/readyz") as reply:
                    return reply.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually(is_ready, timeout_s=30)
        return process

    async def create_route(self, script: str, **fields: Any) -> str:
        """A fresh async route whose function is this shell script; its invocation path is returned."""
        path = f"/{secrets.token_hex(4)}"
        route = {"path": path, "image": SHELL_IMAGE, "type": "async", "config": {"SCRIPT": script}, **fields}
        async with self._http.post("/v1/apps/e2e/routes", json={"route": route}) as reply:
            assert reply.status == 200, await reply.text()
        return f"/r/e2e{path}"

    async def submit(self, path: str, payload: bytes = b"", *, priority: int = 0, delay_s: int = 0) -> str:
        """Submit a call; its id is returned and its status is readable at once."""
        headers = {"Millrace-Priority": str(priority), "Millrace-Delay": str(delay_s)}
        async with self._http.post(path, data=payload, headers=headers) as reply:
            assert reply.status == 202, await reply.text()
            call_id: str = (await reply.json())["call_id"]
            assert reply.headers["Fn_call_id"] == call_id
        assert (await self.call(call_id))["id"] == call_id
        return call_id

    async def post(self, path: str) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """Call a sync route: status, headers and body of its answer."""
        async with self._http.post(path) as reply:
            return reply.status, reply.headers, await reply.read()

    async def call(self, call_id: str) -> Json:
        return (await self._json(f"/v1/apps/e2e/calls/{call_id}"))["call"]  # type: ignore[no-any-return]

    async def recorded(self, call_id: str) -> Json | None:
        """A sync call, once it has a record."""
        async with self._http.get(f"/v1/apps/e2e/calls/{call_id}") as reply:
            return (await reply.json())["call"] if reply.status == 200 else None

    async def log(self, call_id: str, timestamps: int = 0) -> str:
        path = f"/v1/apps/e2e/calls/{call_id}/log?timestamps={timestamps}"
        return (await self._json(path))["log"]["log"]  # type: ignore[no-any-return]

    async def result(self, call_id: str) -> bytes:
        async with self._http.get(f"/v1/apps/e2e/calls/{call_id}/result") as reply:
            assert reply.status == 200, await reply.text()
            return await reply.read()

    async def depth(self) -> Json:
        return await self._json("/v1/queue")

    async def running(self, call_id: str) -> str:
        """Wait until a container of the call runs; its container id is returned."""
        return (await eventually(lambda: containers(f"millrace.call={call_id}", running=True), timeout_s=30))[
            0
        ]

    async def finished(self, call_ids: Iterable[str], timeout_s: float = 60) -> list[Json]:
        """Wait until all calls are final; the calls are returned in the given order."""
        wanted = list(call_ids)

        async def are_final() -> list[Json] | None:
            calls = [await self.call(call_id) for call_id in wanted]
            return calls if all(call["status"] in FINAL for call in calls) else None

        calls = await eventually(are_final, timeout_s, interval_s=0.1)
        assert calls is not None
        return calls

    async def _json(self, path: str) -> Json:
        async with self._http.get(path, headers={"Accept": "application/json"}) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()  # type: ignore[no-any-return]


async def containers(label: str, *, running: bool = False) -> list[str]:
    """The ids of the containers with this label, of those running or of all."""
    command = [
        "docker",
        "ps",
        "--quiet",
        "--no-trunc",
        f"--filter=label={label}",
        *([] if running else ["--all"]),
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().split()


async def no_containers(label: str, timeout_s: float = 15) -> None:
    """Wait until no container with this label exists, running or not."""

    async def are_gone() -> bool:
        return not await containers(label)

    await eventually(are_gone, timeout_s, interval_s=0.1)


def child_of(process: Process) -> int:
    """The pid of the only child of a process."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


async def stop(process: Process) -> None:
    """End a process that the test started, kindly at first."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(20):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
