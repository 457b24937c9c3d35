"""The logs of the store: bytes as they came, each call's in a row of its own. Knows nothing of their making."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from common.errors import CallLogNotFoundError, CallNotFoundError
from common.models import LogMarks
from common.store.apps import require_app_name
from common.store.base import LogChunk, LogPart
from common.store.database import OnDatabase
from common.store.queries import query
from common.store.text import searchable, storable


class Logs(OnDatabase):
    """What calls printed on stderr. The promises stand in LogStore."""

    async def insert_log(self, app_name: str, call_id: UUID, log: bytes) -> None:
        require_app_name(app_name)
        async with self._database.connection() as connection:
            await connection.execute(query("insert_log"), storable(app_name), call_id, log)

    async def get_log(self, app_name: str, call_id: UUID) -> bytes:
        require_app_name(app_name)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("get_log"), searchable(app_name), call_id)
        if row is None:
            raise CallLogNotFoundError
        log: bytes = row["log"]
        return log

    async def get_log_marks(self, app_name: str, call_id: UUID) -> LogMarks:
        require_app_name(app_name)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("get_log_marks"), searchable(app_name), call_id)
        return msgspec.convert(row["marks"], LogMarks) if row is not None else ()

    async def get_log_part(self, app_name: str, call_id: UUID, first: int, max_bytes: int) -> LogPart:
        require_app_name(app_name)
        which = searchable(app_name), call_id
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("get_log_part"), *which, first, max_bytes)
        if row is None:
            raise CallNotFoundError
        return LogPart(**row)

    async def extend_logs(self, chunks: Sequence[LogChunk]) -> set[UUID]:
        if not chunks:
            return set()
        columns = zip(*map(_columns, chunks), strict=True)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("extend_logs"), *columns)
        return {row["id"] for row in rows}


def _columns(chunk: LogChunk) -> tuple[object, ...]:
    return chunk.id, chunk.token, chunk.first, chunk.chunk, msgspec.json.encode(chunk.marks).decode()
