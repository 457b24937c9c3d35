"""Whatever happens, every known call is in exactly one place; and what a queued call costs in Redis's memory."""

import random
import struct
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from common.models import new_id
from common.queue.base import Reservation
from common.queue.codec import LEVEL
from common.queue.keys import Keys, queue_keys
from common.queue.redis import RedisQueue
from common.settings import Settings
from tests.conformance.queue.entries import entry, is_conserved, slots, sync_entry

STEPS = 400


def place_of(record: bytes) -> float:
    [place] = struct.unpack_from("<d", record)
    return float(place)


async def places(admin: Redis, keys: Keys) -> tuple[list[Any], set[Any], set[Any]]:
    """Every id that stands somewhere, once for each place, every id that is known, and every one with a ticket."""
    standing: list[Any] = []
    for key in (keys.ready, keys.delay, keys.lease, keys.dead):
        standing += await admin.zrange(key, 0, -1)
    tickets, messages = set(await admin.hkeys(keys.sync)), set(await admin.hkeys(keys.message))
    assert tickets == messages
    return standing, set(await admin.hkeys(keys.meta)), tickets


async def step(
    queue: RedisQueue, chance: random.Random, workers: list[UUID], held: list[Reservation]
) -> None:
    """One random operation, with tokens that may be long out of date."""
    some = chance.sample(held, min(len(held), chance.randint(0, 5)))
    match chance.randrange(9):
        case 0 | 1:
            await queue.push(
                [
                    entry(chance.randrange(10**6), chance.randrange(3), delay_ms=chance.choice((0, 0, 30)))
                    for _ in range(chance.randint(1, 5))
                ]
            )
        case 8:
            await queue.push(
                [sync_entry(ttl_ms=chance.choice((0, 5, 60_000))) for _ in range(chance.randint(1, 3))]
            )
            for each in [each for each in some if each.ticket is not None]:
                await queue.reply(each, b"reply")
        case 2 | 3:
            held += (await queue.reserve(slots(chance.randint(0, 6)), chance.choice(workers))).reservations
        case 4:
            await queue.ack(some)
        case 5:
            await queue.extend(some)
        case 6:
            await queue.release(some, delay_ms=chance.choice((0, 20)))
        case _:
            await queue.release_incarnation(chance.choice(workers))
            for dead in await queue.dead(3):
                if dead.ticket is not None and chance.random() < 0.5:
                    assert await queue.bury_replied(dead, b"reply")
                else:
                    await queue.bury([dead.id])


async def test_random_operations_conserve_calls(hasty_queue: RedisQueue, admin: Redis) -> None:
    keys = hasty_queue._keys
    chance, workers, held = random.Random(20), [new_id(), new_id()], list[Reservation]()
    for number in range(STEPS):
        await step(hasty_queue, chance, workers, held)
        depth = await hasty_queue.depth()
        assert is_conserved(depth), f"step {number}: {depth}"
        standing, known, tickets = await places(admin, keys)
        assert len(standing) == len(known) == depth.calls, f"step {number}"
        assert set(standing) == known, f"step {number}"
        records: Any = await admin.hgetall(keys.meta)
        assert tickets == {id_ for id_, record in records.items() if place_of(record) < LEVEL}, (
            f"step {number}"
        )
    assert (await hasty_queue.depth()).calls > 0


async def test_a_queued_call_costs_at_most_300_bytes(own_queue: RedisQueue, own_admin: Redis) -> None:
    calls = 20_000
    empty = (await own_admin.info("memory"))["used_memory"]
    await own_queue.push([entry(order_no, order_no % 3) for order_no in range(calls)])
    keys = queue_keys(Settings().queue_name)
    used = [await own_admin.memory_usage(key, samples=0) or 0 for key in (keys.ready, keys.meta)]
    assert sum(used) / calls <= 300
    assert ((await own_admin.info("memory"))["used_memory"] - empty) / calls <= 300
