"""What the tests of the worker stand on: calls put into a real store and a real queue, and a worker that runs them."""

import asyncio
import os
import secrets
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from common.models import App, Call, CallStatus, Route, RouteRevision, new_id
from common.queue.redis import RedisQueue
from common.settings import Settings
from common.store.postgres import PostgresStore
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE
from worker import app as wiring
from worker.containers.docker import DockerDriver
from worker.containers.driver import LABEL_INSTALLATION, ContainerInfo
from worker.metrics import Metrics

APP = "bench"
_OF_CALL = ("priority", "headers", "url", "method")


class Bench:
    """A store, a queue and an engine, with the worker's settings for them."""

    def __init__(
        self, settings: Settings, store: PostgresStore, queue: RedisQueue, driver: DockerDriver
    ) -> None:
        self.settings = settings
        self.store = store
        self.queue = queue
        self.driver = driver

    async def submit(self, script: str, payload: bytes = b"", **fields: Any) -> UUID:
        """Store and push a call of a function that is this shell script; fields are the route's or the call's."""
        call_fields: dict[str, Any] = {"method": "POST", "url": "http://127.0.0.1:8080/r/bench/f"}
        call_fields |= {name: fields.pop(name) for name in _OF_CALL if name in fields}
        route_fields = {
            "path": "/f",
            "image": SHELL_IMAGE,
            "type": "async",
            "config": {"SCRIPT": script},
        } | fields
        route = Route(app_name=APP, **route_fields).set_defaults(datetime.now(UTC))
        revision = RouteRevision.of(App(name=APP, config={"FROM_APP": "app"}), route)
        await self.store.insert_revision(revision)
        call = Call(
            id=new_id(),
            app_name=APP,
            path=route.path,
            type=route.type,
            payload=payload,
            memory=route.memory,
            created_at=datetime.now(UTC),
            route_revision=revision.id,
            **call_fields,
        )
        await self.queue.push([await self.store.insert_call(call)])
        return call.id

    async def call(self, call_id: UUID) -> Call:
        return await self.store.get_call(APP, call_id)

    async def finished(self, call_id: UUID, timeout_s: float = 30) -> Call:
        """Wait until the call is final."""

        async def final() -> Call | None:
            call = await self.call(call_id)
            return call if call.status.is_final else None

        call = await eventually(final, timeout_s, interval_s=0.05)
        assert call is not None
        return call

    async def result(self, call_id: UUID) -> bytes:
        return (await self.store.get_result(APP, call_id)).body

    async def log(self, call_id: UUID) -> str:
        return (await self.store.get_log(APP, call_id)).decode(errors="backslashreplace")

    async def containers(self) -> list[ContainerInfo]:
        """All containers of this test's installation."""
        return await self.driver.list({LABEL_INSTALLATION: str(await self.store.installation_id())})

    async def running(self, call_id: UUID, attempt: int = 1) -> ContainerInfo:
        """Wait until this attempt's container is running."""

        async def found() -> ContainerInfo | None:
            call = await self.call(call_id)
            mine = [one for one in await self.containers() if one.labels["millrace.call"] == str(call_id)]
            is_on = call.status is CallStatus.RUNNING and call.attempt == attempt and mine
            return mine[0] if is_on and await self.driver.usage(mine[0].id) else None

        container = await eventually(found, timeout_s=20)
        assert container is not None
        return container

    async def no_containers(self) -> None:
        """Wait until none of this installation's containers is left."""

        async def are_gone() -> bool:
            return not await self.containers()

        await eventually(are_gone, timeout_s=15)

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[wiring.Worker]:
        """A worker in this process, one incarnation; drained at the end."""
        changed = replace(self.settings, **settings)
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            worker = await wiring._assemble(changed, new_id(), Metrics(), stack)
            running = asyncio.create_task(worker.run(stop, changed.drain_s))
            try:
                await eventually(lambda: worker.loop.is_ready or running.done())
                yield worker
            finally:
                stop.set()
                await running

    @asynccontextmanager
    async def process(self, **settings: Any) -> AsyncIterator[Process]:
        """``python -m worker`` on the same servers; ended in an orderly way, if the test has not done it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker"), env=self._environ(settings), start_new_session=True
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(40):
                await process.wait()

    def _environ(self, settings: dict[str, Any]) -> dict[str, str]:
        changed = replace(self.settings, **{"worker_port": free_port()} | settings)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        return inherited | {
            f"MILLRACE_{name.upper()}": str(getattr(changed, name)) for name in Settings.__struct_fields__
        }


@asynccontextmanager
async def open_bench(database_url: str, redis_url: str, spool: Path) -> AsyncIterator[Bench]:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        queue_name=f"worker-{secrets.token_hex(6)}",
        worker_port=free_port(),
        worker_slots=2,
        worker_memory_mb=1024,
        network="none",
        drain_s=5,
        spool_dir=str(spool),
        data_dir=str(spool.parent),
    )
    async with AsyncExitStack() as stack:
        store = await PostgresStore.open(settings)
        stack.push_async_callback(store.aclose)
        await store.insert_app(App(name=APP))
        queue = RedisQueue.open(settings)
        stack.push_async_callback(queue.aclose)
        driver = await stack.enter_async_context(DockerDriver.open(settings))
        bench = Bench(settings, store, queue, driver)
        try:
            yield bench
        finally:
            for container in await bench.containers():
                await driver.remove(container.id)


def child_of(process: Process) -> int:
    """The pid of a supervisor's child."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
