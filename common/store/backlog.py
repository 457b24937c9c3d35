"""Calls that have not ended, as the reconciler sees them. Never decides what is pushed."""

import asyncio
import time
from collections.abc import Collection
from uuid import UUID

from common.models import MAX_PRIORITY, QueueEntry
from common.store.database import Connection, OnDatabase
from common.store.queries import query

SETTLING_S = 2.0
SETTLING_LOOK_S = 0.02


class Backlog(OnDatabase):
    """What belongs in the queue. The promises stand in Upkeep."""

    async def largest_token(self) -> int:
        async with self._database.connection() as connection:
            token: int = await connection.fetchval(query("largest_token"))
        return token

    async def unfinished(self, priority: int, after: int, limit: int) -> list[QueueEntry]:
        stale_s = self._settings.heartbeat_stale_s
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("unfinished"), priority, after, stale_s, limit)
        return [QueueEntry(**row) for row in rows]

    async def belonging(self, ids: Collection[UUID]) -> list[QueueEntry]:
        stale_s = self._settings.heartbeat_stale_s
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("belonging"), ids, stale_s)
        return [QueueEntry(**row) for row in rows]

    async def unleased(
        self, adrift: Collection[UUID], after: QueueEntry | None, limit: int
    ) -> list[QueueEntry]:
        place = (after.priority, after.order_no) if after else (MAX_PRIORITY + 1, 0)
        stale_s = self._settings.heartbeat_stale_s
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("unleased"), adrift, stale_s, *place, limit)
        return [QueueEntry(**row) for row in rows]

    async def running(self, limit: int) -> list[UUID]:
        async with self._database.connection() as connection:
            return [row["id"] for row in await connection.fetch(query("running"), limit)]

    async def still_running(self, ids: Collection[UUID]) -> list[UUID]:
        async with self._database.connection() as connection:
            return [row["id"] for row in await connection.fetch(query("still_running"), ids)]

    async def count_waiting(self) -> int:
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(query("count_waiting"))
        return count

    async def settled_order_no(self) -> int | None:
        give_up_at_s = time.monotonic() + SETTLING_S
        async with self._database.connection() as connection:
            # In this order: who draws a smaller number than the last one holds the lock when the writers are listed.
            last: int = await connection.fetchval(query("last_order_no"))
            writers = await _writers(connection)
            while writers:
                if time.monotonic() > give_up_at_s:
                    return None
                await asyncio.sleep(SETTLING_LOOK_S)
                writers &= await _writers(connection)
        return last


async def _writers(connection: Connection) -> set[str]:
    return {row["virtualtransaction"] for row in await connection.fetch(query("writers_of_calls"))}
