"""Turns: what any process may do, but one at a time, and none sooner than due; with a memory that the next one finds.

A turn is one transaction that holds an advisory lock, and ends with writing that memory. So whoever loses the
connection, or is silent for IDLE_S, has lost the turn, and can't record what it did. It may still be at work when the
next one begins: what is done by turns must be harmless when two do it at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common.store.database import Connection, OnDatabase
from common.store.queries import query
from common.store.upkeep import Turn, TurnState

IDLE_S = 20.0  # longer than what comes between two words of it: a page read and pushed, both late


class Turns(OnDatabase):
    """The turns of all processes. The promises stand in Datastore."""

    async def look_at_turn(self, name: str) -> TurnState:
        async with self._database.connection() as connection:
            return await _state(connection, name)

    @asynccontextmanager
    async def take_turn(self, name: str) -> AsyncIterator[Turn | None]:
        async with self._database.long_transaction() as connection:
            await connection.execute(query("limit_idle"), f"{IDLE_S * 1000:.0f}")
            is_mine = await connection.fetchval(query("try_turn"), name)
            yield _TurnTaken(connection, name, await _state(connection, name)) if is_mine else None


class _TurnTaken:
    """A turn, as long as its transaction lasts."""

    def __init__(self, connection: Connection, name: str, state: TurnState) -> None:
        self._connection = connection
        self._name = name
        self.state = state

    async def check(self) -> None:
        await self._connection.execute(query("check"))

    async def end(self, memory: dict[str, Any], next_in_s: float) -> None:
        await self._connection.execute(query("end_turn"), self._name, next_in_s, memory)


async def _state(connection: Connection, name: str) -> TurnState:
    (row,) = await connection.fetch(query("get_turn"), name)
    return TurnState(**row)
