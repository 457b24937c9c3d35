"""The MessageQueue on Redis 6.2 or later: each operation is one Lua script in one round trip (protocol.md).

It holds no calls and runs no task of its own. Scripts and waits have connections of their own: one that blocks can
serve nothing else, and is thrown away when its wait is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from common.errors import (
    EvictingRedisError,
    NotReservedError,
    QueueFullError,
    QueueUnavailableError,
    SettingsError,
)
from common.models import QueueEntry
from common.queue import codec, scripts
from common.queue.base import Acked, Capacity, Depth, Extension, Lane, Reservation, Reserved
from common.queue.keys import queue_keys
from common.queue.scripts import Script
from common.settings import Settings

MAX_DELIVERIES = 10
MAX_BATCH = 500  # calls in one script: Lua's unpack ends near 8000 values
LOOK_AHEAD = 32  # calls beyond the slots that reserve looks at, past those too large for this worker
RESTORE_ROUNDS = 16  # scripts that one reserve may spend on restoring before it hands out what there is

CONNECT_S = 2.0
REPLY_S = 3.0  # with the time to connect; asked twice at most
MAX_CONNECTIONS = 32
MIN_BLOCK_S = 0.01  # Redis 6.2 cuts off what is below 1 ms, and 0 is for ever
MAX_BLOCK_S = 5.0  # a wake token lost with its waiter delays another one by at most this

# Redis 7 answers OOM, 6.2 puts it inside a script's error: only these words are in both.
OUT_OF_MEMORY = "command not allowed when used memory"

Item = TypeVar("Item")


class RedisQueue:
    """MessageQueue of one ``queue_name``. Every method is safe to cancel and to call from several tasks at once."""

    def __init__(self, commands: Redis, waits: Redis, settings: Settings) -> None:
        self._commands = commands
        self._waits = waits
        self._keys = queue_keys(settings.queue_name)
        self._script_keys = {
            script.name: (len(script.keys), *(getattr(self._keys, key) for key in script.keys))
            for script in scripts.ALL
        }
        self._max_calls = settings.queue_max_calls
        self._lease_ms = round(settings.lease_s * 1000)
        self._news = -1  # what the last reserve has seen: reserve.lua says what for

    @classmethod
    def open(cls, settings: Settings) -> "RedisQueue":
        """The queue that *settings* name. Does not connect: the first operation does, `check` is a good one.

        Raises SettingsError for an address that isn't one."""
        try:
            return cls(_client(settings.redis_url), _client(settings.redis_url), settings)
        except ValueError as error:
            raise SettingsError(f"MILLRACE_REDIS_URL: {error}", field="MILLRACE_REDIS_URL") from error

    async def push(self, entries: Sequence[QueueEntry]) -> int:
        """As the contract says for up to 500 calls; of a longer list, earlier parts may be pushed already."""
        new = 0
        for part in _parts(entries):
            added = await self._run(
                scripts.PUSH, self._max_calls, *codec.entry_arguments(part, MAX_DELIVERIES)
            )
            if added < 0:
                raise QueueFullError
            new += added
        return new

    async def reserve(self, capacity: Capacity, incarnation: UUID) -> Reserved:
        """As the contract says, at most 500 calls at a time. Never repeated by itself: a lost reply's leases expire."""
        slots = max(0, min(capacity.slots, MAX_BATCH))
        rounds = RESTORE_ROUNDS
        while True:
            rounds -= 1
            answer = await self._run(
                scripts.RESERVE,
                *(slots, capacity.free_mb, capacity.total_mb, LOOK_AHEAD),
                *(self._lease_ms, incarnation.bytes, self._news, int(rounds > 0)),
                again=False,
            )
            reply = codec.decode_reply(answer)
            self._news = reply.news
            if not reply.has_more or rounds == 0:
                return reply.reserved

    async def wait(self, lanes: Sequence[Lane], timeout_s: float) -> None:
        """As the contract says; returns after 5 s at the latest, and after a connection that was lost.

        Reserve first: the waiters that wait longest are woken first, so each must have looked before it waits."""
        block_s = max(MIN_BLOCK_S, min(timeout_s, MAX_BLOCK_S))
        keys = [self._keys.wake(lane) for lane in lanes]
        try:
            async with asyncio.timeout(block_s + REPLY_S):
                await self._waits.blpop(keys, round(block_s, 3))
        except (RedisError, OSError, TimeoutError):
            # A token may have been lost with the reply, so the caller has to look, if Redis can be reached.
            await _reach(self._commands.ping)

    async def ack(self, reservations: Sequence[Reservation]) -> list[Acked]:
        found: list[Acked] = []
        for part in _parts(reservations):
            answer = await self._run(scripts.ACK, *codec.reservation_arguments(part))
            found += codec.decode_acked(answer)
        return found

    async def delete(self, reservation: Reservation) -> None:
        if await self.ack([reservation]) == [Acked.NOT_RESERVED]:
            raise NotReservedError

    async def extend(self, reservations: Sequence[Reservation]) -> list[Extension]:
        """As the contract says. A lease that expired unnoticed is still held until maintenance restores its call."""
        found: list[Extension] = []
        for part in _parts(reservations):
            answer = await self._run(scripts.EXTEND, self._lease_ms, *codec.reservation_arguments(part))
            found += codec.decode_extensions(answer)
        return found

    async def release(self, reservations: Sequence[Reservation], delay_ms: int = 0) -> list[bool]:
        """As the contract says. After a lost reply it is repeated: then False may mean that this very call did it."""
        released: list[bool] = []
        for part in _parts(reservations):
            answer = await self._run(scripts.RELEASE, delay_ms, *codec.reservation_arguments(part))
            released += map(bool, answer)
        return released

    async def release_incarnation(self, incarnation: UUID) -> int:
        released: int = await self._run(scripts.RELEASE_INCARNATION, incarnation.bytes)
        return released

    async def maintain(self) -> int | None:
        return codec.decode_next_ms(await self._run(scripts.MAINTAIN))

    async def dead(self, limit: int) -> list[UUID]:
        if limit < 1:
            return []
        ids = await _reach(lambda: self._commands.zrange(self._keys.dead, 0, limit - 1))
        return [UUID(bytes=raw) for raw in ids]

    async def bury(self, ids: Sequence[UUID]) -> None:
        for part in _parts(ids):
            await self._run(scripts.BURY, *(id_.bytes for id_ in part))

    async def depth(self) -> Depth:
        return codec.decode_depth(await self._run(scripts.DEPTH, *codec.priority_bounds()))

    async def generation(self) -> int:
        generation: int = await self._run(scripts.GENERATION)
        return generation

    async def check(self) -> None:
        info = await _reach(lambda: self._commands.info("memory"))
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise EvictingRedisError(f"{EvictingRedisError.default_message} (it is {policy})")

    async def aclose(self) -> None:
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(REPLY_S):
                await self._waits.aclose()
                await self._commands.aclose()

    async def _run(self, script: Script, *arguments: codec.Argument, again: bool = True) -> Any:
        keys = self._script_keys[script.name]

        async def evaluate() -> Any:
            try:
                return await self._commands.evalsha(script.sha, *keys, *arguments)
            except NoScriptError:  # Redis restarted or was flushed: EVAL also makes it known again
                return await self._commands.eval(script.text, *keys, *arguments)

        return await _reach(evaluate, again=again)


async def _reach(operation: Callable[[], Awaitable[Any]], *, again: bool = True) -> Any:
    """Await *operation* in time; once more if *again* and it failed to reach Redis. Raises the queue's own errors."""
    try:
        if again:
            with suppress(RedisConnectionError, TimeoutError):
                return await _in_time(operation)
        return await _in_time(operation)
    except (RedisError, OSError, TimeoutError) as error:
        if OUT_OF_MEMORY in str(error):
            raise QueueFullError from error
        raise QueueUnavailableError from error


async def _in_time(operation: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(REPLY_S):
        return await operation()


def _client(url: str) -> Redis:
    """Connections that are dropped, never reused, when their operation is cancelled or late.

    No socket_timeout: redis-py would write under asyncio.wait_for, which can lose a cancellation on Python 3.11. The
    deadline of every operation is `_in_time`'s."""
    keepalive = {} if url.startswith("unix:") else {"socket_keepalive": True}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=None,
        socket_connect_timeout=CONNECT_S,
        socket_timeout=None,
        **keepalive,
        retry=Retry(NoBackoff(), 0),  # redis-py would repeat a reserve too
        decode_responses=False,
        protocol=2,
    )
    return Redis.from_pool(pool)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]
