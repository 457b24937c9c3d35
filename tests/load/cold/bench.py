"""One run: cold calls through Millrace and by a bare client, one after the other, in the same minutes.

Each begins on an engine that has nothing left to remove, so that neither pays for the other. Everything it starts, it
stops; its data is gone afterwards.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic_ns
from typing import Any

import aiohttp
from msgspec import Struct

from tests.load.cold.bare import bare_call
from tests.load.cold.figures import BareCall, ColdLine, line
from tests.load.cold.plan import Network, Plan
from tests.load.cold.targets import judge
from tests.load.engine import Engine
from tests.load.images import shell
from tests.load.machine import Machine, describe
from tests.load.stand import MEMORY_MB, Stand, bare_config
from tests.load.target import Target
from tests.polling import eventually
from worker.containers.driver import LABEL_PATH

PAYLOAD = b'{"order": 4711, "customer": "Ada Lovelace"}'
SCRIPT = "cat"
ANSWER_S = 60.0
GONE_S = 30.0
LOOK_S = 0.005


class ColdLoadError(Exception):
    """A call was not answered right: figures would mean nothing."""


class Report(Struct, frozen=True, kw_only=True):
    """All of one run."""

    machine: Machine
    plan: Plan
    programs: dict[str, str]
    lines: list[ColdLine]
    targets: list[Target]


async def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure by *plan*. Raises EngineError, ImageError, LocalServerError or ColdLoadError."""
    machine = await describe(("aiohttp", "aiodocker", "uvloop"))
    async with Engine.open() as engine:
        image = await shell(engine)
        say("starting Postgres and Redis")
        async with Stand.open() as stand:
            lines = [
                each
                for network in plan.networks
                for each in await _measure_network(plan, stand, engine, image, network, say)
            ]
        programs = {"Docker Engine": await engine.version()}
    return Report(machine=machine, plan=plan, programs=programs, lines=lines, targets=judge(lines))


async def _measure_network(
    plan: Plan, stand: Stand, engine: Engine, image: str, network: Network, say: Callable[[str], None]
) -> list[ColdLine]:
    async with AsyncExitStack() as stack:
        say(f"network {network}: starting api and worker")
        system = await stack.enter_async_context(
            stand.system(worker_slots=max(plan.at_once), network=network)
        )
        path = await system.create_route(SCRIPT, image=image, type="sync", memory=MEMORY_MB)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        http = await stack.enter_async_context(aiohttp.ClientSession(system.url, timeout=timeout))
        config = await bare_config(engine, image, network, SCRIPT=SCRIPT)
        pair = Pair(engine, http, path, config)
        await pair.warm_up()
        lines = []
        for at_once in plan.at_once:
            say(f"network {network}: {at_once} at a time")
            lines.append(await pair.measure(network, at_once, plan.calls))
        return lines


class Pair:
    """The same call on both ways, in turns."""

    def __init__(
        self, engine: Engine, http: aiohttp.ClientSession, path: str, config: dict[str, Any]
    ) -> None:
        self._engine = engine
        self._http = http
        self._path = path
        self._config = config
        self._label = f"{LABEL_PATH}=/{path.rpartition('/')[2]}"
        self._sync_ns: list[int] = []
        self._gone_ns: list[int] = []
        self._bare: list[BareCall] = []

    async def warm_up(self) -> None:
        """One of each, not counted."""
        await self._by_millrace(1)
        await self._by_bare_client(1)

    async def measure(self, network: str, at_once: int, calls: int) -> ColdLine:
        """*calls* of each, *at_once* at a time; who begins changes each time."""
        self._sync_ns, self._gone_ns, self._bare = [], [], []
        ways = (self._by_millrace, self._by_bare_client)
        for number in range(calls // at_once):
            for way in ways if number % 2 == 0 else reversed(ways):
                await way(at_once)
        return line(network, at_once, self._sync_ns, self._gone_ns, self._bare)

    async def _by_millrace(self, at_once: int) -> None:
        self._sync_ns += await asyncio.gather(*(self._post() for _ in range(at_once)))
        answered_ns = monotonic_ns()
        await eventually(self._is_quiet, GONE_S, LOOK_S)
        self._gone_ns.append(monotonic_ns() - answered_ns)

    async def _by_bare_client(self, at_once: int) -> None:
        self._bare += await asyncio.gather(
            *(bare_call(self._engine, self._config, PAYLOAD) for _ in range(at_once))
        )
        await eventually(self._is_quiet, GONE_S, LOOK_S)

    async def _post(self) -> int:
        began_ns = monotonic_ns()
        async with self._http.post(self._path, data=PAYLOAD) as reply:
            answer = await reply.read()
        if reply.status != 200 or answer != PAYLOAD:
            raise ColdLoadError(f"a call was answered with {reply.status}: {answer!r}")
        return monotonic_ns() - began_ns

    async def _is_quiet(self) -> bool:
        return not any([await self._engine.listing(label) for label in (self._label, self._engine.label)])
