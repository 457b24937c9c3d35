"""What is measured in turns: something that answers calls, with the processes that work for it."""

from collections.abc import Iterable
from typing import Protocol

from tests.load.cpu import Snapshot, busy_us, processes, used_us
from tests.load.sync.figures import Figures, Sample

# What calls are made of, the same for all.
PAYLOAD = (
    b'{"order": 4711, "customer": "Ada Lovelace", "items": [{"sku": "mill-1", "count": 2}], "paid": true}'
)


class Contestant(Protocol):
    """One of the field. ``connections``: calls under way at a time, each on a connection of its own."""

    name: str
    title: str
    connections: int

    async def ready(self) -> None:
        """Return once nothing is under way and every connection finds what it needs warm."""
        ...

    async def drive(self, seconds: int) -> Sample:
        """Make calls for this long. Raises SyncLoadError unless every one is answered right."""
        ...

    async def processes(self, snapshot: Snapshot) -> dict[str, Iterable[int]]:
        """Who works for it: pids by the name that the report gives them."""
        ...


class SyncLoadError(Exception):
    """A part of the benchmark failed: figures of it would mean nothing."""


async def measure(contestant: Contestant, warm_up_s: int, measure_s: int) -> Figures:
    """One round of *contestant*, warm."""
    await contestant.ready()
    await contestant.drive(warm_up_s)
    await contestant.ready()
    groups = await contestant.processes(processes())
    before, busy_before_us = processes(), busy_us()
    sample = await contestant.drive(measure_s)
    after, busy_after_us = processes(), busy_us()
    return Figures(
        per_s=sample.calls / sample.elapsed_s,
        latency=sample.latency,
        cpu_us={name: us / sample.calls for name, us in used_us(before, after, groups).items()},
        busy_us=(busy_after_us - busy_before_us) / sample.calls,
    )
