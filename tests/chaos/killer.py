"""The killer: ends one process of a cluster at random, by kill -9, again and again. Each kill goes into the history."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from tests.chaos.cluster import Cluster
from tests.chaos.history import History, Killed
from tests.chaos.units import Child, incarnation_of


class Victim(Struct, frozen=True, kw_only=True):
    """A process that may be killed now; fields as in Killed."""

    kind: str
    unit: str
    pid: int
    incarnation: str = ""


class Killer:
    """Of one cluster. A child whose supervisor was killed is remembered: it may be killed, too, while it drains."""

    def __init__(self, cluster: Cluster, history: History, seed: int | None = None) -> None:
        self._cluster = cluster
        self._history = history
        self._random = random.Random(seed)
        self._orphans: dict[str, Child] = {}

    async def kill_forever(self, every_s: float) -> None:
        """Kill one at random, every so often, until cancelled: a unit at random, and of it a process at random."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            next_at += every_s
            await asyncio.sleep(max(0, next_at - loop.time()))
            if victims := self.victims():
                unit = self._random.choice(sorted({victim.unit for victim in victims}))
                self.kill(self._random.choice([victim for victim in victims if victim.unit == unit]))

    def victims(self, is_wanted: Callable[[Victim], bool] = lambda _: True) -> list[Victim]:
        """All that live now."""
        found = [
            Victim(kind="api", unit=api.name, pid=api.pid)
            for api in self._cluster.apis
            if api.pid is not None
        ]
        for worker in self._cluster.workers:
            if worker.pid is not None:
                found.append(Victim(kind="supervisor", unit=worker.name, pid=worker.pid))
            if (child := worker.child()) is not None:
                found.append(_of_child("child", worker.name, child))
        self._orphans = {
            name: child
            for name, child in self._orphans.items()
            if incarnation_of(child.pid) == child.incarnation
        }
        found += [_of_child("orphan", name, child) for name, child in self._orphans.items()]
        return [victim for victim in found if is_wanted(victim)]

    def kill(self, victim: Victim) -> None:
        """Kill it, by -9, if it still lives."""
        orphan = None
        if victim.kind == "supervisor":
            (worker,) = [worker for worker in self._cluster.workers if worker.name == victim.unit]
            orphan = worker.child()
        at = time.time()
        with suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
            incarnation = orphan.incarnation if orphan is not None else victim.incarnation
            self._history.add(Killed(at=at, victim=victim.kind, unit=victim.unit, incarnation=incarnation))
        if orphan is not None:
            self._orphans[victim.unit] = orphan


def _of_child(kind: str, unit: str, child: Child) -> Victim:
    return Victim(kind=kind, unit=unit, pid=child.pid, incarnation=child.incarnation)
