"""One fault under load: what every fault test does around the harm that it does."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.checker import check
from tests.chaos.cluster import Cluster
from tests.chaos.history import Fault, History
from tests.chaos.load import Load, Shape, loaded
from tests.chaos.run import gather

# What two workers of three slots just manage: at each moment some calls run, some wait, some are delayed.
SHAPE = Shape(calls=160, per_s=55, cold_share=0.02, delayed_share=0.1, usual_ms=80)
AFTER_S = 1.0  # what a fault may still cause after it is over


@asynccontextmanager
async def under_load(cluster: Cluster, shape: Shape = SHAPE) -> AsyncIterator[Load]:
    """The block runs when half of the calls are submitted. After it the other half comes, and nothing must be amiss."""
    history = cluster.witness.history
    async with loaded(cluster, history, shape) as load:
        await load.half.wait()
        yield load
    await nothing_amiss(cluster, history)


async def nothing_amiss(cluster: Cluster, history: History) -> None:
    """Wait until everything is settled; then the checker must find nothing."""
    await gather(cluster, history)
    findings = [f"{finding.kind}: {finding.call_id}: {finding.text}" for finding in check(history)]
    assert not findings, "\n".join(findings)


@asynccontextmanager
async def fault(history: History, name: str) -> AsyncIterator[None]:
    """A fault is on in the block, and may cause calls to be delivered again."""
    at = time.time()
    yield
    history.add(Fault(at=at, until=time.time() + AFTER_S, name=name))
