"""Millrace at several depths, all in the same Redis at the same time, measured in turns so that they share the noise.

The depth stays what it is while it is measured: a client pushes what it takes. Calls of all three priorities.
"""

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from common.queue.base import Reservation
from common.queue.redis import MAX_BATCH
from tests.load.queue.field import MILLRACE
from tests.load.queue.figures import DepthLine, Rates, median_of, rates
from tests.load.queue.ours import Millrace
from tests.load.queue.plan import BATCHES
from tests.load.queue.stage import Stage
from tests.polling import eventually

RESERVED_SHARE = 5  # of a queue, what one round of reserves may take before it is given back
RESERVES = 100
WARM_UP_S = 0.05


class Cost(NamedTuple):
    """Of one reserve: inside Redis, and for the client that asked."""

    redis_us: float
    client_ms: float


async def measure_depths(stage: Stage) -> list[DepthLine]:
    """Fill one queue for each depth and measure them. They stay in Redis."""
    depths = stage.plan.depths
    bytes_per_call = {}
    for depth in depths:
        stage.say(f"filling a queue with {depth:,} calls")
        bytes_per_call[depth] = await _fill(stage, depth)
    cycles = await _cycles(stage)
    stage.say("reserves alone, at each depth in turn")
    costs = await _reserve_costs(stage)
    return [
        DepthLine(
            depth=depth,
            bytes_per_call=bytes_per_call[depth],
            rates={batch: median_of(cycles[depth, batch]) for batch in BATCHES},
            reserve_us={b: statistics.median(cost.redis_us for cost in costs[depth, b]) for b in BATCHES},
            reserve_ms={b: statistics.median(cost.client_ms for cost in costs[depth, b]) for b in BATCHES},
        )
        for depth in depths
    ]


async def _fill(stage: Stage, depth: int) -> float:
    """Push *depth* calls; the bytes that each takes."""
    async with _millrace(stage, depth) as millrace:  # so that scripts and small keys are there before
        await millrace.push(1)
        await millrace.ack(await millrace.take(1))
    before = await _used_bytes(stage)
    async with stage.clients(MILLRACE, _queue(depth)) as clients:
        await clients.push(depth, MAX_BATCH)
    return (await _used_bytes(stage) - before) / depth


async def _used_bytes(stage: Stage) -> int:
    """Redis's memory once no connection is open but our own: theirs have buffers."""

    async def alone() -> bool:
        return int((await stage.info("clients"))["connected_clients"]) == 1

    await eventually(alone)
    return int((await stage.info("memory"))["used_memory"])


async def _cycles(stage: Stage) -> dict[tuple[int, int], list[Rates]]:
    found: dict[tuple[int, int], list[Rates]] = {}
    async with AsyncExitStack() as stack:
        opened = {
            depth: await stack.enter_async_context(stage.clients(MILLRACE, _queue(depth)))
            for depth in stage.plan.depths
        }
        for clients in opened.values():
            await clients.cycle(1, WARM_UP_S)
        for number in range(stage.plan.rounds):
            stage.say(f"cycles at each depth in turn, round {number + 1} of {stage.plan.rounds}")
            for batch in BATCHES:
                for depth, clients in opened.items():
                    answers = await clients.cycle(batch, stage.plan.measure_s)
                    found.setdefault((depth, batch), []).append(rates(answers))
    return found


async def _reserve_costs(stage: Stage) -> dict[tuple[int, int], list[Cost]]:
    found: dict[tuple[int, int], list[Cost]] = {}
    most = min(stage.plan.depths) // RESERVED_SHARE
    async with AsyncExitStack() as stack:
        opened = {
            depth: await stack.enter_async_context(_millrace(stage, depth)) for depth in stage.plan.depths
        }
        for _ in range(stage.plan.reserve_rounds):
            for batch in BATCHES:
                repeats = max(1, min(RESERVES, most // batch))
                for depth, millrace in opened.items():
                    cost = await _reserve(stage, millrace, batch, repeats)
                    found.setdefault((depth, batch), []).append(cost)
    return found


async def _reserve(stage: Stage, millrace: Millrace, batch: int, repeats: int) -> Cost:
    await stage.redis.config_resetstat()
    taken: list[Reservation] = []
    client_ns = []
    for _ in range(repeats):
        began_ns = time.monotonic_ns()
        taken += await millrace.take(batch)
        client_ns.append(time.monotonic_ns() - began_ns)
    script = (await stage.info("commandstats"))["cmdstat_evalsha"]
    await millrace.ack(taken)
    await millrace.push(len(taken))
    return Cost(float(script["usec"]) / int(script["calls"]), statistics.median(client_ns) / 1e6)


@asynccontextmanager
async def _millrace(stage: Stage, depth: int) -> AsyncIterator[Millrace]:
    millrace = Millrace(stage.servers(_queue(depth)))
    try:
        yield millrace
    finally:
        await millrace.aclose()


def _queue(depth: int) -> str:
    return f"depth-{depth}"
