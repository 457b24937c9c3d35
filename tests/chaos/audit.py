"""The database as a witness: a trigger that writes every change of a call down, and what stands there at the end."""

from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.history import Changed, Row

SQL = Path(__file__).with_name("audit.sql")

_CHANGES = """
SELECT
    extract(epoch FROM at)::float8 AS at, call_id::text, coalesce(old_status, '') AS old_status, status, attempt,
    coalesce(token, 0) AS token, coalesce(incarnation::text, '') AS incarnation
FROM chaos.changes
WHERE place > $1
ORDER BY place
"""
_ROWS = """
SELECT
    id::text AS call_id, type, calls.status, detail, attempt, priority, order_no,
    coalesce(incarnation::text, '') AS incarnation,
    extract(epoch FROM started_at)::float8 AS started_at,
    extract(epoch FROM completed_at)::float8 AS completed_at,
    coalesce(encode(call_results.body, 'escape'), '') AS result
FROM calls
LEFT JOIN call_results ON call_results.call_id = calls.id
WHERE order_no > $1
"""


class Audit:
    """Of one database. Each reading gives what came since ``forget``, so that tests can share it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen_change = 0
        self._seen_order_no = 0

    async def install(self) -> None:
        """Put the trigger on a migrated database."""
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(SQL.read_text())
        finally:
            await connection.close()

    async def forget(self) -> None:
        """Leave out what has happened so far."""
        self._seen_change = int(await self.ask("SELECT coalesce(max(place), 0) FROM chaos.changes"))
        self._seen_order_no = int(await self.ask("SELECT coalesce(max(order_no), 0) FROM calls"))

    async def changes(self) -> list[Changed]:
        """Every change of a call."""
        return [Changed(**row) for row in await self.rows_of(_CHANGES, self._seen_change)]

    async def rows(self) -> list[Row]:
        """Every call as it stands now."""
        return [Row(**row) for row in await self.rows_of(_ROWS, self._seen_order_no)]

    async def unfinished(self) -> int:
        """How many calls have no end yet."""
        return int(
            await self.ask("SELECT count(*) FROM calls WHERE status IN ('delayed', 'queued', 'running')")
        )

    async def ask(self, sql: str, *arguments: object) -> Any:
        """One value."""
        (row,) = await self.rows_of(sql, *arguments)
        return row[0]

    async def rows_of(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a query, on a connection of its own: the server may have been another one a moment ago."""
        connection = await asyncpg.connect(self._url, timeout=10)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments, timeout=30)
            return rows
        finally:
            await connection.close(timeout=5)
