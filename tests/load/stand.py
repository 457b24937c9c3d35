"""The system under load: an embedded Postgres and Redis, an api and a worker as processes, as the end-to-end tests have
them. Its data is gone afterwards, and nothing but the images stays.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local import LocalPostgres, LocalRedis
from tests.e2e.system import System, child_of
from tests.load.cpu import Snapshot, family
from tests.load.engine import Engine
from worker.containers.driver import ContainerSpec, Image
from worker.containers.hostconfig import ContainerLimits, container_config

MEMORY_MB = 128
LIMITS: dict[str, Any] = {
    "tmpfs_mb": 64,
    "pids_limit": 256,
    "cpus": 1,
    "writable_root_mb": 1024,
}  # the defaults of the settings


RECONCILED = "millrace_calls_reconciled_total"


class RepairedError(Exception):
    """The reconciler repaired something in a run without faults."""


class Stand:
    """The servers of one run; opens as many systems on them as are asked for."""

    def __init__(self, directory: Path, postgres: LocalPostgres, redis: LocalRedis) -> None:
        self.directory = directory
        self.postgres = postgres
        self.redis = redis

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Stand"]:
        """Raises LocalServerError where they can't start."""
        directory = Path(tempfile.mkdtemp(prefix="millrace-load-"))
        directory.chmod(0o711)  # the servers' account passes through
        try:
            async with (
                LocalPostgres(directory / "postgres") as postgres,
                LocalRedis(directory / "redis", "6.2") as redis,
            ):
                yield cls(directory, postgres, redis)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    @asynccontextmanager
    async def system(self, **settings: object) -> AsyncIterator["LoadedSystem"]:
        """An api and a worker with these settings."""
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(
                LoadedSystem(self.postgres.url, self.redis.url, self.directory)
            )
            await system.start_worker(**settings)
            yield system
            await system.check_nothing_was_repaired()

    def groups(self, snapshot: Snapshot) -> dict[str, set[int]]:
        """The servers' processes."""
        return {
            "Redis": family(snapshot, [self.redis.child.pid]),
            "Postgres": family(snapshot, [self.postgres.child.pid]),
        }


class LoadedSystem(System):
    """A system that also says which its processes are, and whether its queue ever lacked a call."""

    async def check_nothing_was_repaired(self) -> None:
        """Raise RepairedError if the reconciler found calls missing in the queue: nothing was killed."""
        async with self._http.get("/metrics") as reply:
            repaired = [line for line in (await reply.text()).splitlines() if line.startswith(RECONCILED)]
        if any(float(line.rpartition(" ")[2]) for line in repaired):
            raise RepairedError(f"calls were missing in the queue: {repaired}")

    def groups(self, snapshot: Snapshot) -> dict[str, set[int]]:
        """The processes of api and worker."""
        api, *workers = self._processes
        return {
            "api": family(snapshot, [api.pid]),
            "worker": {child_of(worker) for worker in workers},
        }


async def bare_config(engine: Engine, image: str, network: str, **env: str) -> dict[str, object]:
    """What the engine is asked to create, exactly as a worker asks for a function of *image*."""
    spec = ContainerSpec(
        name="",
        image=Image(id=str(await engine.image_id(image))),
        env=env,
        labels={},
        memory_mb=MEMORY_MB,
        writable_root=False,
    )
    return container_config(spec, ContainerLimits(network=network, **LIMITS))
