"""Eight processes on one queue: no call is held twice at once, none is lost, and every reserve is in order."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.models import new_id
from common.queue.redis import RedisQueue
from tests.conformance.queue.entries import is_conserved
from tests.conformance.queue.holder import share
from tests.polling import eventually

PROCESSES = 8
CALLS = 60  # that each of them pushes
VICTIM = 3


async def start(url: str, queue_name: str, seed: int, incarnation: UUID) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.conformance.queue.holder"),
        *(url, queue_name, str(seed), str(CALLS), str(incarnation)),
        stdout=PIPE,
    )


async def output(process: Process) -> list[dict[str, Any]]:
    printed, _ = await process.communicate()
    return [json.loads(line) for line in printed.splitlines() if line.endswith(b"}")]


async def free(admin: Redis, queue_name: str, dead: UUID) -> None:
    """A killed process holds nothing any more."""
    for name in await admin.keys(f"{queue_name}:*"):
        if await admin.get(name) == str(dead).encode():
            await admin.delete(name)


@pytest.mark.timeout(120)
async def test_eight_processes_hold_each_call_once_at_a_time_and_lose_none(
    queue: RedisQueue, server_url: str, admin: Redis
) -> None:
    queue_name = queue._keys.ready.split(":")[1].rstrip("}")
    incarnations = [new_id() for _ in range(PROCESSES)]
    processes = [
        await start(server_url, queue_name, seed, incarnation)
        for seed, incarnation in enumerate(incarnations)
    ]
    try:
        async with asyncio.timeout(60):
            outputs = [asyncio.create_task(output(process)) for process in processes]
            victim, dead = processes[VICTIM], incarnations[VICTIM]

            async def victim_holds_something() -> bool:
                values = [await admin.get(name) for name in await admin.keys(f"{queue_name}:*")]
                return str(dead).encode() in values

            await eventually(victim_holds_something, timeout_s=30, interval_s=0.002)
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            # What its supervisor does.
            await free(admin, queue_name, dead)
            await queue.release_incarnation(dead)
            # What the reconciler does: the victim may have died before it had pushed its share.
            await queue.push(share(VICTIM, CALLS))
            said = await asyncio.gather(*outputs)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert [process.returncode for process in processes].count(0) == PROCESSES - 1
    reserves = [line for lines in said for line in lines if "reserved" in line]
    assert not [line["twice"] for line in reserves if line["twice"]]
    entries = {str(entry.id): entry for seed in range(PROCESSES) for entry in share(seed, CALLS)}
    for line in reserves:
        order = [(-entries[name].priority, entries[name].order_no) for name in line["reserved"]]
        assert order == sorted(order)
    acked = Counter(name for lines in said for line in lines for name in line.get("acked", ()))
    last = (
        said[VICTIM][-1].get("reserved", ()) if said[VICTIM] else ()
    )  # it may have acked these and not said so any more
    assert set(entries) - set(acked) <= set(last)
    again = {str(entry.id) for entry in share(VICTIM, CALLS)}  # acked, then pushed once more
    assert all(times == 1 or name in again for name, times in acked.items())
    depth = await queue.depth()
    assert is_conserved(depth)
    assert depth.calls == 0
