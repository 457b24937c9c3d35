"""Hot sync calls by HTTP: through api, queue, worker and container; and the same api alone, which answers by itself."""

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp

from tests.load.cpu import Snapshot
from tests.load.engine import Engine
from tests.load.stand import MEMORY_MB, LoadedSystem, Stand
from tests.load.sync.bare import engine_groups
from tests.load.sync.contestant import PAYLOAD, SyncLoadError
from tests.load.sync.figures import Sample
from tests.load.sync.plan import CONNECTIONS
from tests.load.sync.wrk import post
from tests.polling import eventually
from worker.containers.driver import LABEL_PATH

WARM_S = 60.0
IDLE_TIMEOUT_S = 600  # no container ends while others are measured


class Sync:
    """See Contestant: the whole way."""

    name = "sync"
    title = "Millrace, hot sync calls"
    connections = CONNECTIONS

    def __init__(self, stand: Stand, system: LoadedSystem, engine: Engine, path: str) -> None:
        self._stand = stand
        self._system = system
        self._engine = engine
        self._path = path

    @classmethod
    @asynccontextmanager
    async def open(cls, stand: Stand, engine: Engine, image: str, network: str) -> AsyncIterator["Sync"]:
        """A system whose worker has a slot for each connection."""
        async with stand.system(worker_slots=CONNECTIONS, network=network) as system:
            yield cls(stand, system, engine, await _route(system, image))

    async def ready(self) -> None:
        await eventually(self._is_warm, WARM_S)

    async def drive(self, seconds: int) -> Sample:
        return await post(self._system.url + self._path, self.connections, seconds)

    async def _is_warm(self) -> bool:
        """Call it as often at once as there are connections; whether each found a container then.

        The client hangs up on its last calls. One that runs when the api notices is killed, with its container.
        """
        if (await self._system.depth())["calls"]:
            return False
        async with aiohttp.ClientSession(self._system.url) as http:
            calls = [http.post(self._path, data=PAYLOAD) for _ in range(self.connections)]
            for reply in await asyncio.gather(*calls):
                reply.release()
        return len(await self._containers()) == self.connections

    async def _containers(self) -> list[str]:
        return await self._engine.listing(f"{LABEL_PATH}=/{self._path.rpartition('/')[2]}", is_running=True)

    async def processes(self, snapshot: Snapshot) -> dict[str, Iterable[int]]:
        hot = await self._containers()
        if len(hot) != self.connections:
            raise SyncLoadError(f"{len(hot)} hot containers for {self.connections} connections")
        groups = {"client": {os.getpid()}, **self._system.groups(snapshot), **self._stand.groups(snapshot)}
        return {**groups, **await engine_groups(self._engine, hot, snapshot)}


class Ceiling:
    """See Contestant: no queue, no worker, no function; what one api process answers."""

    name = "ceiling"
    title = "the api alone"
    connections = CONNECTIONS

    def __init__(self, stand: Stand, system: LoadedSystem, path: str) -> None:
        self._stand = stand
        self._system = system
        self._path = path

    @classmethod
    @asynccontextmanager
    async def open(cls, stand: Stand, image: str) -> AsyncIterator["Ceiling"]:
        """An api of its own, beside the one that serves."""
        async with _LoneApi(stand.postgres.url, stand.redis.url, stand.directory) as system:
            yield cls(stand, system, await _route(system, image))

    async def ready(self) -> None:
        pass  # it starts nothing, and nothing stays under way

    async def drive(self, seconds: int) -> Sample:
        return await post(self._system.url + self._path, self.connections, seconds)

    async def processes(self, snapshot: Snapshot) -> dict[str, Iterable[int]]:
        return {"client": {os.getpid()}, **self._system.groups(snapshot), **self._stand.groups(snapshot)}


class _LoneApi(LoadedSystem):
    async def start_api(self) -> Process:
        return await self._start("tests.load.sync.ceiling", self.port, {})


async def _route(system: LoadedSystem, image: str) -> str:
    return await system.create_route(
        "",
        image=image,
        type="sync",
        format="json",
        json_framing="line",
        memory=MEMORY_MB,
        idle_timeout=IDLE_TIMEOUT_S,
    )
