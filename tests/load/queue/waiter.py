"""A process that waits for calls as a worker does, and notes when it had each. Runs none.

Run as ``python -m tests.load.queue.waiter KIND``; the first line of its input says where the server is. It answers
``waiting`` before its first wait. The next line, or the end of its input, ends it: then it answers what it noted.
KIND: ``worker`` has room for all calls, ``full`` fits none, ``bare`` pops a list, which is what waiting costs at least.
"""

import asyncio
import sys
from contextlib import suppress
from time import monotonic_ns
from typing import Any

import msgspec
import uvloop
from redis.asyncio import Redis

from common.models import new_id
from common.queue.base import Capacity, Lane
from common.queue.redis import RedisQueue
from tests.load.queue.driven import Servers
from tests.load.queue.ours import ROOMY_MB, settings_for
from worker.loop import WAIT_MAX_S, WAIT_MIN_S

BARE_KEY = "bare"
BLOCK_S = 60.0

Noted = dict[str, int]


async def wait_as_worker(servers: Servers, free_mb: int, noted: Noted) -> None:
    """Reserve, and wait when there is nothing, as worker/loop.py does; ack what came."""
    queue = RedisQueue.open(settings_for(servers.redis_url, servers.queue))
    incarnation = new_id()
    capacity = Capacity(slots=1, sync_slots=0, async_slots=1, free_mb=free_mb, total_mb=ROOMY_MB)
    try:
        while True:
            reserved = await queue.reserve(capacity, incarnation)
            at_ns = monotonic_ns()
            if reserved.reservations:
                noted.update((reservation.id.hex, at_ns) for reservation in reserved.reservations)
                await queue.ack(reserved.reservations)
                continue
            next_ms = reserved.next_ms
            timeout_s = WAIT_MAX_S if next_ms is None else min(max(next_ms / 1000, WAIT_MIN_S), WAIT_MAX_S)
            await queue.wait([Lane.ASYNC], timeout_s)
    finally:
        await queue.aclose()


async def wait_bare(servers: Servers, noted: Noted) -> None:
    """BLPOP, nothing else."""
    redis = Redis.from_url(servers.redis_url, protocol=2)
    try:
        while True:
            found: Any = await redis.blpop([f"{BARE_KEY}:{servers.queue}"], BLOCK_S)
            if found is not None:
                noted[found[1].decode()] = monotonic_ns()
    finally:
        await redis.aclose()


async def main(kind: str) -> None:
    """Wait until told to stop."""
    servers = msgspec.json.decode(sys.stdin.buffer.readline(), type=Servers)
    noted: Noted = {}
    if kind == "bare":
        waiting = asyncio.create_task(wait_bare(servers, noted))
    else:
        waiting = asyncio.create_task(wait_as_worker(servers, ROOMY_MB if kind == "worker" else 0, noted))
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), told.set)
    _answer(b"waiting")
    stopping = asyncio.create_task(told.wait())
    await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    stopping.cancel()
    _answer(msgspec.json.encode(noted))


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
