"""Millrace and the bare floor, as the clients drive them. Promises no more than the functions it calls."""

import itertools
import secrets
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from common.models import QueueEntry, new_id
from common.queue.base import Capacity, Reservation
from common.queue.redis import RedisQueue
from common.settings import Settings
from tests.load.queue.driven import Servers

MEMORY_MB = 128
ROOMY_MB = 2**20


def settings_for(redis_url: str, queue: str) -> Settings:
    """Settings of a queue that the benchmark may fill."""
    return Settings(redis_url=redis_url, queue_name=queue, queue_max_calls=10_000_000)


class Millrace:
    """Calls of all three priorities; whoever takes has room for all of them."""

    def __init__(self, servers: Servers) -> None:
        self._queue = RedisQueue.open(settings_for(servers.redis_url, servers.queue))
        self._incarnation = new_id()
        # Clients share no counter: each numbers its calls from a place of its own.
        self._order = itertools.count(secrets.randbelow(2**17) * 2**32)

    @property
    def queue(self) -> RedisQueue:
        return self._queue

    async def push(self, calls: int) -> None:
        await self._queue.push([_entry(next(self._order)) for _ in range(calls)])

    async def take(self, calls: int) -> Sequence[Reservation]:
        capacity = Capacity(slots=calls, sync_slots=0, async_slots=calls, free_mb=ROOMY_MB, total_mb=ROOMY_MB)
        return (await self._queue.reserve(capacity, self._incarnation)).reservations

    async def ack(self, taken: Sequence[Reservation]) -> None:
        await self._queue.ack(taken)

    async def pause(self) -> None:
        await self._queue.pause()

    async def aclose(self) -> None:
        await self._queue.aclose()


class Floor:
    """Three bare round trips of the same size."""

    def __init__(self, servers: Servers) -> None:
        self._redis = Redis.from_url(servers.redis_url, protocol=2)
        self._key = f"floor:{servers.queue}"

    async def push(self, calls: int) -> None:
        await self._redis.lpush(self._key, *(new_id().bytes for _ in range(calls)))

    async def take(self, calls: int) -> Sequence[bytes]:
        popped: Any = await self._redis.rpop(self._key, calls)
        return popped or []

    async def ack(self, taken: Sequence[bytes]) -> None:
        await self._redis.ping()

    async def aclose(self) -> None:
        await self._redis.aclose()


def _entry(order_no: int) -> QueueEntry:
    return QueueEntry(id=new_id(), order_no=order_no, priority=order_no % 3, delay_ms=0, memory_mb=MEMORY_MB)
