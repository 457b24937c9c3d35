"""A worker that waits: what it sends to Redis meanwhile, and how soon it has a call that is pushed.

One call is on its way at a time. What it is compared with is a bare RPUSH → BLPOP, in turns with it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic_ns
from typing import NamedTuple
from uuid import UUID

import msgspec

from common.models import QueueEntry, new_id
from common.queue import scripts
from common.queue.redis import RedisQueue
from tests.load.queue.figures import IdleLine, LatencyLine
from tests.load.queue.ours import MEMORY_MB, Millrace, settings_for
from tests.load.queue.programs import Program, ProgramError
from tests.load.queue.stage import Stage
from tests.load.queue.waiter import BARE_KEY, Noted
from tests.load.spread import spread

SETTLE_S = 1.0
BETWEEN_S = 0.01  # longer than a call takes, so that the worker waits again
BLOCK = 50
WARM_UP = 10
ANSWER_S = 20.0
LATENCY_QUEUE = "latency"

# Redis counts the commands that scripts call too; no client of ours sends one of these by itself while it waits.
SCRIPTED = {name.lower() for each in scripts.ALL for name in re.findall(r"redis\.call\('(\w+)'", each.text)}
OURS = {"info", "config|resetstat", "config"}

Push = Callable[[UUID], Awaitable[None]]


class Idle(NamedTuple):
    """A state in which a worker has nothing to do. ``kind``: of waiter; ``calls``: that are queued."""

    state: str
    kind: str
    calls: int
    is_paused: bool = False


IDLE = (
    Idle("empty queue", "worker", 0),
    Idle("calls queued, none fits", "full", 1000),
    Idle("calls queued, the queue is paused", "worker", 1000, is_paused=True),
)


async def measure_idle(stage: Stage) -> list[IdleLine]:
    """Commands a second of one waiting worker, in each state in which it has nothing to do."""
    lines = []
    for state, kind, calls, is_paused in IDLE:
        stage.say(f"a worker that waits: {state}")
        queue = f"idle-{kind}-{calls}"
        millrace = Millrace(stage.servers(queue))
        await millrace.push(calls)
        if is_paused:
            await millrace.pause()
        await millrace.aclose()
        async with _waiter(stage, kind, queue):
            await asyncio.sleep(SETTLE_S)
            lines.append(await _idle(stage, state))
    return lines


async def _idle(stage: Stage, state: str) -> IdleLine:
    await stage.redis.config_resetstat()
    began_ns = monotonic_ns()
    await asyncio.sleep(stage.plan.idle_s)
    stats = await stage.info("commandstats")
    seconds = (monotonic_ns() - began_ns) / 1e9
    calls = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}
    executed = {name: count for name, count in calls.items() if name not in OURS}
    sent = {name: count for name, count in executed.items() if name not in SCRIPTED}
    return IdleLine(
        state=state,
        seconds=seconds,
        sent_per_s=sum(sent.values()) / seconds,
        executed_per_s=sum(executed.values()) / seconds,
        sent=sent,
    )


async def measure_latency(stage: Stage) -> list[LatencyLine]:
    """From before a push until another process has the call; the same for a bare list, in turns."""
    stage.say("from push to reservation, beside a bare RPUSH → BLPOP")
    queue = RedisQueue.open(settings_for(stage.redis_url, LATENCY_QUEUE))

    async def push(call_id: UUID) -> None:
        await queue.push([QueueEntry(id=call_id, order_no=0, priority=0, delay_ms=0, memory_mb=MEMORY_MB)])

    async def push_bare(call_id: UUID) -> None:
        await stage.redis.rpush(f"{BARE_KEY}:{LATENCY_QUEUE}", call_id.hex)

    ours: Noted = {}
    bare: Noted = {}
    try:
        async with (
            _waiter(stage, "worker", LATENCY_QUEUE) as worker,
            _waiter(stage, "bare", LATENCY_QUEUE) as pop,
        ):
            for kind in (push, push_bare):
                await _push_block(kind, {}, WARM_UP)
            for _ in range(0, stage.plan.latency_samples, BLOCK):
                await _push_block(push, ours, BLOCK)
                await _push_block(push_bare, bare, BLOCK)
            await asyncio.sleep(SETTLE_S)
            return [
                _latency("Millrace: push → reservation", ours, await _noted(worker)),
                _latency("bare: RPUSH → BLPOP", bare, await _noted(pop)),
            ]
    finally:
        await queue.aclose()


async def _push_block(push: Push, began: Noted, calls: int) -> None:
    for _ in range(calls):
        call_id = new_id()
        began[call_id.hex] = monotonic_ns()
        await push(call_id)
        await asyncio.sleep(BETWEEN_S)


def _latency(name: str, began: Noted, had: Noted) -> LatencyLine:
    lost = len(began.keys() - had.keys())
    if lost:
        raise ProgramError(f"{name}: {lost} of {len(began)} calls did not arrive")
    return LatencyLine(
        name=name, samples=len(began), latency=spread([had[call] - at_ns for call, at_ns in began.items()])
    )


@asynccontextmanager
async def _waiter(stage: Stage, kind: str, queue: str) -> AsyncIterator[Program]:
    program = await stage.program("waiter", kind)
    try:
        program.tell(msgspec.json.encode(stage.servers(queue)))
        await program.hear(ANSWER_S)
        yield program
    finally:
        await program.stop()


async def _noted(waiter: Program) -> Noted:
    waiter.tell(b"")
    return msgspec.json.decode(await waiter.hear(ANSWER_S), type=Noted)
