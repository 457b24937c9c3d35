"""One of many processes on a queue: pushes its share, then reserves, holds, acks or gives back, until all is done.

Run as ``python -m tests.conformance.queue.holder URL QUEUE_NAME SEED CALLS INCARNATION``. Prints JSON lines: for each
reserve the ids in order and those that somebody else held at that moment, then the ids it acked.
"""

import asyncio
import json
import random
import sys
from uuid import UUID

from redis.asyncio import Redis

from common.models import QueueEntry
from common.queue.base import Acked, Lane, Reservation
from common.queue.redis import RedisQueue
from common.settings import Settings
from tests.conformance.queue.entries import room

GIVE_BACK_SHARE = 0.2


def share(seed: int, calls: int) -> list[QueueEntry]:
    """The calls that process *seed* pushes."""
    return [
        QueueEntry(
            id=UUID(int=number + 1), order_no=number, priority=number * 7 % 3, delay_ms=0, memory_mb=128
        )
        for number in range(seed * calls, seed * calls + calls)
    ]


async def run(url: str, queue_name: str, seed: int, calls: int, incarnation: UUID) -> None:
    chance = random.Random(seed)
    queue = RedisQueue.open(Settings(redis_url=url, queue_name=queue_name))
    entries = share(seed, calls)
    async with Redis.from_url(url, protocol=2) as witness:
        while entries or (await queue.depth()).calls:
            part, entries = entries[:17], entries[17:]
            await queue.push(part)
            reserved = (await queue.reserve(room(chance.randint(1, 9)), incarnation)).reservations
            if not reserved:
                await queue.wait([Lane.ASYNC], 0.2)
                continue
            names = [f"{queue_name}:{held.id}" for held in reserved]
            taken = [await witness.set(name, str(incarnation), nx=True, get=False) for name in names]
            twice = [str(held.id) for held, is_mine in zip(reserved, taken, strict=True) if not is_mine]
            say({"reserved": [str(held.id) for held in reserved], "twice": twice})
            await asyncio.sleep(chance.random() / 100)
            await witness.delete(*names)
            say({"acked": await finish(queue, reserved, chance)})
    await queue.aclose()


def say(line: dict[str, list[str]]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - the answer to the test that started it


async def finish(queue: RedisQueue, reserved: list[Reservation], chance: random.Random) -> list[str]:
    if chance.random() < GIVE_BACK_SHARE:
        await queue.release(reserved)
        return []
    found = await queue.ack(reserved)
    return [str(held.id) for held, what in zip(reserved, found, strict=True) if what is Acked.ACKED]


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), UUID(sys.argv[5])))
