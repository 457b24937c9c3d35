"""A whole Millrace on this machine: apis and workers as processes, each on a port of its own.

Starts them, waits for them, stops them. Who does harm to it is elsewhere, and so is who looks at what it leaves.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
from msgspec import Struct

from tests.chaos.audit import Audit
from tests.chaos.history import History
from tests.chaos.units import Unit, WorkerUnit
from tests.chaos.witness import Witness
from tests.e2e.system import free_port
from tests.load.engine import SOCKET, Engine
from tests.polling import eventually

APP = "chaos"
START_S = 60.0
IDLE_TIMEOUT_S = 600  # hot containers stay for as long as a test may take

# What every process gets, unless a plan says otherwise. Little memory: the machine is small, and the functions are.
SETTINGS: dict[str, object] = {
    "network": "none",
    "worker_slots": 3,
    "worker_sync_min_slots": 0,
    "worker_async_min_slots": 0,
    "worker_memory_mb": 512,
}
# The kinds of functions: the fields of their routes.
_ROUTE = {"timeout": 30, "memory": 32, "idle_timeout": IDLE_TIMEOUT_S, "type": "async"}
_HOT = {**_ROUTE, "format": "json", "json_framing": "line"}
ROUTES: dict[str, dict[str, object]] = {
    "hot": _HOT,
    "cold": {**_ROUTE, "format": "default"},
    "sync": {**_HOT, "type": "sync"},
}

AnyUnit = TypeVar("AnyUnit", bound=Unit)


class Plan(Struct, frozen=True, kw_only=True):
    """What to start. ``settings``: of all processes; ``socket``: the engine's."""

    apis: int = 2
    workers: int = 3
    socket: str = SOCKET
    settings: dict[str, object] = {}


class Addresses(Struct, frozen=True, kw_only=True):
    """Where the servers are for the processes, and for the tests without what may stand between."""

    database_url: str
    redis_url: str
    direct_database_url: str
    direct_redis_url: str


class Cluster:
    """The processes. ``image`` is the function's, ``witness`` hears what the functions say."""

    def __init__(
        self, plan: Plan, addresses: Addresses, directory: Path, http: aiohttp.ClientSession
    ) -> None:
        self.plan = plan
        self.addresses = addresses
        self.directory = directory
        self.http = http
        self.audit = Audit(addresses.direct_database_url)
        self.queue_name = f"chaos-{secrets.token_hex(6)}"
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self.spool = directory / "spool"
        self.apis = [self._unit(Unit, "api", number) for number in range(plan.apis)]
        self.workers = [self._unit(WorkerUnit, "worker", number) for number in range(plan.workers)]
        self.witness: Witness

    @property
    def units(self) -> list[Unit]:
        return [*self.apis, *self.workers]

    @property
    def urls(self) -> list[str]:
        """Of the apis."""
        return [api.url for api in self.apis]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, plan: Plan, addresses: Addresses, directory: Path, image: str
    ) -> AsyncIterator["Cluster"]:
        """Start all of it, with its routes; at the end stop what still runs, and remove what containers are left."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            cluster = cls(plan, addresses, directory, http)
            try:
                await asyncio.gather(*(unit.start() for unit in cluster.units))
                await cluster.ready()
                await cluster._make_routes(image)
                async with cluster._listening() as cluster.witness:
                    yield cluster
            finally:
                await cluster.stop()
                await cluster._remove_containers()

    async def ready(self, timeout_s: float = START_S) -> None:
        """Wait until every process is ready."""

        async def are_ready() -> bool:
            return all(await asyncio.gather(*(unit.is_ready(self.http) for unit in self.units)))

        await eventually(are_ready, timeout_s, interval_s=0.1)

    async def stop(self) -> dict[str, int | None]:
        """End all processes in order, for good; their exit codes by their names."""
        codes = await asyncio.gather(*(unit.stop() for unit in self.units))
        return {unit.name: code for unit, code in zip(self.units, codes, strict=True)}

    async def installation(self) -> str:
        """What all containers of these workers are labelled with."""
        return str(await self.audit.ask("SELECT id FROM installation"))

    async def containers(self) -> list[str]:
        """The ids of all function containers, whatever they do."""
        async with Engine.open(self.plan.socket) as engine:
            return await engine.listing(f"millrace.installation={await self.installation()}")

    def who_said(self, text: str) -> list[str]:
        """The names of the processes in whose logs this stands."""
        return [unit.name for unit in self.units if text in unit.log.read_text(errors="replace")]

    def tails(self) -> dict[str, str]:
        """The last lines of each log, by the name of its process."""
        return {unit.name: unit.tail() for unit in self.units}

    def keep(self, folder: Path) -> None:
        """Copy all logs and the history there, for somebody to look at."""
        folder.mkdir(parents=True, exist_ok=True)
        for unit in self.units:
            shutil.copy(unit.log, folder)
        self.witness.history.save(folder / "history.jsonl")

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[Witness]:
        witness = Witness(self.plan.socket, await self.installation(), History())
        async with witness.listening():
            yield witness

    async def _make_routes(self, image: str) -> None:
        for name, fields in ROUTES.items():
            route = {"path": f"/{name}", "image": image, **fields}
            async with self.http.post(f"{self.urls[0]}/v1/apps/{APP}/routes", json={"route": route}) as reply:
                assert reply.status == 200, await reply.text()

    async def _remove_containers(self) -> None:
        async with Engine.open(self.plan.socket) as engine:
            for container in await self.containers():
                await engine.remove(container)

    def _unit(self, kind: type[AnyUnit], module: str, number: int) -> AnyUnit:
        inherited = {
            name: value
            for name, value in os.environ.items()
            # Compiling everything at each start is not how it runs elsewhere.
            if not name.startswith("MILLRACE_") and name != "PYTHONDONTWRITEBYTECODE"
        }
        port = free_port()
        settings = {
            **SETTINGS,
            **self.plan.settings,
            "database_url": self.addresses.database_url,
            "redis_url": self.addresses.redis_url,
            "queue_name": self.queue_name,
            "docker_socket": self.plan.socket,
            "spool_dir": str(self.spool),
            "port" if module == "api" else "worker_port": port,
        }
        environ = inherited | {f"MILLRACE_{name.upper()}": str(value) for name, value in settings.items()}
        name = f"{module}-{number}"
        return kind(
            name, module, port, environ | {"TMPDIR": str(self.temporary)}, self.directory / f"{name}.log"
        )
