"""Load: calls of all kinds at an even rate, each followed to its end by who submitted it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from tests.chaos.client import Client
from tests.chaos.cluster import Cluster
from tests.chaos.history import Accepted, History

LONGEST_MS = 200


class Shape(Struct, frozen=True, kw_only=True):
    """``calls``: how many async ones; they end earlier if ``stop`` of the load is set. Shares are of these.

    ``unfinished_max``: how many calls clients leave open at a time; then they wait.
    """

    calls: int
    per_s: float
    clients: int = 4
    cold_share: float = 0.1
    delayed_share: float = 0.0
    sync_share: float = 0.0
    usual_ms: int = 20
    unfinished_max: int = 300


class Load:
    """One load on a cluster. ``run`` returns when every accepted call was seen to be final."""

    def __init__(self, cluster: Cluster, history: History, shape: Shape, seed: int = 0) -> None:
        self.history = history
        self.stop = asyncio.Event()
        self.half = asyncio.Event()  # half of the calls are submitted
        self._shape = shape
        self._random = random.Random(seed)
        self._clients = [
            Client(number, cluster.http, cluster.urls, history) for number in range(shape.clients)
        ]
        self._room = asyncio.Semaphore(shape.unfinished_max)

    async def run(self) -> None:
        """Submit and follow. Raises an ExceptionGroup of what no client should see."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(self._shape.calls):
                await asyncio.sleep(max(0, began_at + number / self._shape.per_s - loop.time()))
                await self._room.acquire()
                if self.stop.is_set():
                    return
                group.create_task(self._carry(self._clients[number % len(self._clients)]))
                if number + 1 == self._shape.calls // 2:
                    self.half.set()

    @property
    def accepted(self) -> int:
        """How many calls were accepted so far."""
        return len(self.history.of(Accepted))

    async def _carry(self, client: Client) -> None:
        shape, draw = self._shape, self._random.random
        ms = min(LONGEST_MS, int(self._random.expovariate(1 / shape.usual_ms)) + 1)
        route = "cold" if draw() < shape.cold_share else "hot"
        headers = {"Millrace-Priority": str(self._random.randrange(3))}
        if draw() < shape.delayed_share:
            headers["Millrace-Delay"] = "1"
        try:
            if draw() < shape.sync_share:
                await client.call("sync", str(ms))
            await client.follow(await client.submit(route, str(ms), headers))
        finally:
            self._room.release()


@asynccontextmanager
async def loaded(cluster: Cluster, history: History, shape: Shape) -> AsyncIterator[Load]:
    """The block runs while the load does; afterwards the rest of the load is waited for."""
    load = Load(cluster, history, shape)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run())
        yield load
        await running
