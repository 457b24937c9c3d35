"""The MessageQueue on Redis 6.2 or later: each operation is one Lua script in one round trip (protocol.md).

It holds no calls and runs no task of its own. Scripts and waits have connections of their own: one that blocks can
serve nothing else, and is thrown away when its wait is cancelled.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from redis.exceptions import NoScriptError

from common.errors import (
    EvictingRedisError,
    NotReservedError,
    QueueFullError,
    QueueLostError,
    QueuePausedError,
    QueueUnavailableError,
    UnavailableError,
)
from common.models import QueueEntry
from common.queue import channels, codec, replies, scripts
from common.queue.base import (
    Acked,
    Cancelled,
    Capacity,
    DeadCall,
    Depth,
    Extension,
    Lane,
    Peeked,
    Reservation,
    Reserved,
    Trace,
    Withdrawn,
)
from common.queue.connection import REPLY_S, UNREACHABLE, RedisLink
from common.queue.keys import queue_keys
from common.queue.scripts import Script
from common.queue.server import VERSION_MIN, is_wrong
from common.settings import Settings

DELIVERIES_PER_ATTEMPT = 2  # a worker may be lost with a call that it has not claimed yet
MAX_BATCH = 500  # calls in one script: Lua's unpack ends near 8000 values
LOOK_AHEAD = 32  # calls beyond the slots that reserve looks at, past those too large for this worker
REFUSALS = {
    -1: QueueFullError,
    -2: QueueLostError,
    -3: QueuePausedError,
}  # push.lua's answers that are no counts
RESTORE_ROUNDS = 16  # scripts that one reserve may spend on restoring before it hands out what there is

MIN_BLOCK_S = 0.01  # Redis 6.2 cuts off what is below 1 ms, and 0 is for ever
MAX_BLOCK_S = 5.0  # a wake token lost with its waiter delays another one by at most this

Item = TypeVar("Item")


class RedisQueue:
    """MessageQueue of one ``queue_name``. Every method is safe to cancel and to call from several tasks at once."""

    def __init__(self, link: RedisLink, settings: Settings) -> None:
        self._link = link
        self._keys = queue_keys(settings.queue_name)
        self._script_keys = {
            script.name: (
                len(script.keys),
                *(getattr(self._keys, key) for key in script.keys if key != scripts.REPLIES),
            )
            for script in scripts.ALL
        }
        self._max_calls = settings.queue_max_calls
        self._max_deliveries = DELIVERIES_PER_ATTEMPT * settings.max_attempts
        self._lease_ms = round(settings.lease_s * 1000)
        self._news = -1  # what the last reserve has seen: reserve.lua says what for

    @classmethod
    def open(cls, settings: Settings) -> "RedisQueue":
        """The queue that *settings* name. Does not connect: the first operation does, `check` is a good one.

        Raises SettingsError for an address that isn't one."""
        return cls(RedisLink(settings.redis_url), settings)

    async def push(self, entries: Sequence[QueueEntry], generation: int | None = None) -> int:
        """As the contract says for up to 500 calls; of a longer list, earlier parts may be pushed already.

        With sync calls it is never repeated by itself: one may have ended by then, and nothing would stop a second run.
        """
        new = 0
        for part in _parts(entries):
            again = all(entry.ticket is None for entry in part)
            arguments = codec.entry_arguments(part, self._max_deliveries)
            added = await self._run(
                scripts.PUSH,
                self._max_calls,
                "" if generation is None else generation,
                *arguments,
                again=again,
            )
            if added < 0:
                raise REFUSALS[added]
            new += added
        return new

    async def reserve(self, capacity: Capacity, incarnation: UUID) -> Reserved:
        """As the contract says, at most 500 calls at a time. Never repeated by itself: a lost reply's leases expire."""
        slots, sync_slots, async_slots = (
            max(0, min(number, MAX_BATCH))
            for number in (capacity.slots, capacity.sync_slots, capacity.async_slots)
        )
        rounds = RESTORE_ROUNDS
        while True:
            rounds -= 1
            answer = await self._run(
                scripts.RESERVE,
                *(slots, sync_slots, async_slots, capacity.async_first),
                *(capacity.free_mb, capacity.total_mb, LOOK_AHEAD),
                *(self._lease_ms, incarnation.bytes, self._news, int(rounds > 0)),
                again=False,
            )
            look = codec.decode_look(answer)
            self._news = look.news
            if not look.has_more or rounds == 0:
                return look.reserved

    async def wait(self, lanes: Sequence[Lane], timeout_s: float) -> None:
        """As the contract says; returns after 5 s at the latest, and after a connection that was lost.

        Reserve first: the waiters that wait longest are woken first, so each must have looked before it waits. A wait
        may go on beside further reserves. One that returned must be followed by a reserve that begins after that.
        """
        block_s = max(MIN_BLOCK_S, min(timeout_s, MAX_BLOCK_S))
        if not lanes:
            await asyncio.sleep(block_s)
            return
        keys = [self._keys.wake(lane) for lane in lanes]
        try:
            async with asyncio.timeout(block_s + REPLY_S):
                await self._link.waits.blpop(keys, round(block_s, 3))
        except UNREACHABLE:
            # A token may have been lost with the reply, so the caller has to look, if Redis can be reached.
            await self._link.drop_idle()
            await self._link.reach(self._link.commands.ping)

    async def ack(self, reservations: Sequence[Reservation]) -> list[Acked]:
        found: list[Acked] = []
        for part in _parts(reservations):
            answer = await self._run(scripts.ACK, *codec.reservation_arguments(part))
            found += codec.decode_acked(answer)
        return found

    async def reply(self, reservation: Reservation, reply: bytes) -> Acked:
        """As the contract says. Raises ValueError for an async call's reservation."""
        key, id_ = self._replies_to(reservation), reservation.id.bytes
        code = await self._run(scripts.REPLY, key, id_, reservation.token, reply)
        return codec.decode_acked([code])[0]

    def replies(self, reply_to: UUID) -> AsyncIterator[bytes]:
        return replies.listen(self._link, self._keys.replies_to(reply_to))

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

    async def cancel(self, ids: Sequence[UUID]) -> list[Cancelled]:
        """As the contract says. After a lost reply it is repeated: then UNKNOWN may mean that this very call did it."""
        found: list[Cancelled] = []
        for part in _parts(ids):
            found += codec.decode_cancelled(await self._run(scripts.CANCEL, *(id_.bytes for id_ in part)))
        return found

    async def withdraw(self, ids: Sequence[UUID], *, is_unheard: bool) -> list[Withdrawn]:
        found: list[Withdrawn] = []
        for part in _parts(ids):
            answer = await self._run(scripts.WITHDRAW, int(is_unheard), *(id_.bytes for id_ in part))
            found += codec.decode_withdrawn(answer)
        return found

    async def absent(self, ids: Sequence[UUID]) -> list[UUID]:
        found: list[UUID] = []
        for part in _parts(ids):
            raw = [id_.bytes for id_ in part]
            records = await self._link.reach(partial(self._records, raw))
            found += [id_ for id_, record in zip(part, records, strict=True) if record is None]
        return found

    async def trace(self, call_id: UUID) -> Trace:
        return codec.decode_trace(await self._run(scripts.TRACE, call_id.bytes))

    def cancellations(self) -> AsyncIterator[UUID]:
        return channels.listen(self._link, self._keys.cancelled)

    async def announce(self, ids: Sequence[UUID]) -> None:
        for part in _parts(ids):
            message = codec.encode_ids(part)
            try:
                await self._link.reach(partial(self._publish, message), again=False)
            except UnavailableError:
                return  # the rest would find no one either

    def announcements(self) -> AsyncIterator[UUID]:
        return channels.listen(self._link, self._keys.announced)

    async def maintain(self) -> int | None:
        return codec.decode_next_ms(await self._run(scripts.MAINTAIN))

    async def dead(self, limit: int) -> list[DeadCall]:
        """As the contract says; at most 500, and only the first few if they carry more than 16 MiB of messages."""
        if limit < 1:
            return []
        return codec.decode_dead(await self._run(scripts.DEAD, min(limit, MAX_BATCH)))

    async def bury(self, ids: Sequence[UUID]) -> None:
        for part in _parts(ids):
            await self._run(scripts.BURY, *(id_.bytes for id_ in part))

    async def bury_replied(self, call: DeadCall, reply: bytes) -> bool:
        """As the contract says. Raises ValueError for an async call. After a lost answer it is repeated: then False may
        mean that this very call did it."""
        buried: int = await self._run(scripts.BURY_REPLIED, self._replies_to(call), call.id.bytes, reply)
        return buried == 1

    async def seed_token(self, token: int) -> None:
        await self._run(scripts.SEED_TOKEN, token)

    async def pause(self) -> None:
        await self._run(scripts.PAUSE)

    async def resume(self) -> None:
        await self._run(scripts.RESUME)

    async def peek(self, limit: int) -> list[Peeked]:
        if limit < 1:
            return []
        return codec.decode_peeked(await self._run(scripts.PEEK, min(limit, MAX_BATCH)))

    async def depth(self) -> Depth:
        return codec.decode_depth(await self._run(scripts.DEPTH, *codec.level_bounds()))

    async def generation(self) -> int:
        generation: int = await self._run(scripts.GENERATION)
        return generation

    async def run_id(self) -> str:
        info = await self._link.reach(lambda: self._link.commands.info("server"))
        return str(info.get("run_id", ""))

    async def check(self) -> None:
        """As the contract says. A script is run, as rights to read are not rights to run one."""
        try:
            info = await self._link.reach(self._link.commands.info)
            await self.generation()
        except QueueUnavailableError as error:
            if error.__cause__ is None or not is_wrong(error.__cause__):
                raise
            raise self._link.server.unusable(error.__cause__) from error.__cause__
        version = str(info.get("redis_version", ""))
        if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < VERSION_MIN:
            raise self._link.server.unusable(
                f"it is version {version}, and 6.2 is the oldest that is supported"
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise EvictingRedisError(f"{EvictingRedisError.default_message} (it is {policy})")

    async def aclose(self) -> None:
        await self._link.aclose()

    async def _records(self, ids: list[bytes]) -> list[bytes | str | None]:
        return await self._link.commands.hmget(self._keys.meta, ids)

    async def _publish(self, message: bytes) -> None:
        await self._link.commands.publish(self._keys.announced, message)

    def _replies_to(self, call: Reservation | DeadCall) -> str:
        """The last key of a script that leaves a reply."""
        if call.ticket is None:
            raise ValueError(f"nobody waits for a reply of call {call.id}: it has no ticket")
        return self._keys.replies_to(call.ticket.reply_to)

    async def _run(self, script: Script, *arguments: codec.Argument, again: bool = True) -> Any:
        keys = self._script_keys[script.name]
        commands = self._link.commands

        async def evaluate() -> Any:
            try:
                return await commands.evalsha(script.sha, *keys, *arguments)
            except NoScriptError:  # Redis restarted or was flushed: EVAL also makes it known again
                return await commands.eval(script.text, *keys, *arguments)

        return await self._link.reach(evaluate, again=again)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]
