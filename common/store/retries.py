"""New calls of old ones, and the dead: calls that were given up, until somebody requeues or purges them.

Never looks into inputs: they are copied from row to row.
"""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from common.errors import (
    AppsBeingRemovedError,
    CallNotFinalError,
    CallNotFoundError,
    CallNotRetriableError,
)
from common.models import AFTER_ALL_IDS, Call, CallStatus, QueueEntry
from common.store.apps import require_app_name
from common.store.calls import shown
from common.store.database import OnDatabase
from common.store.queries import query
from common.store.steering import FoundDead, Retried
from common.store.text import searchable


class Retries(OnDatabase):
    """Retries, requeues and purges. The promises stand in Steering."""

    async def retry(self, app_name: str, call_id: UUID, new_id: UUID) -> QueueEntry:
        require_app_name(app_name)
        name = searchable(app_name)
        async with self._database.connection() as connection:
            # Looked at before: what is final stays so, what is not may become so in between.
            found = await connection.fetchrow(query("get_call"), name, call_id)
            if found is None:
                raise CallNotFoundError
            status = CallStatus(found["status"])
            if not status.is_final:
                raise CallNotFinalError.of(status)
            rows = await connection.fetch(query("retry"), [call_id], [new_id], name, False)
            if not rows and await connection.fetchval(query("has_input"), call_id):
                raise AppsBeingRemovedError
        if not rows:
            raise CallNotRetriableError
        return _retried(rows[0]).entry

    async def requeue_dead(self, ids: Sequence[UUID], new_ids: Sequence[UUID]) -> list[Retried]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("retry"), ids, new_ids, "", True)
        return [_retried(row) for row in rows]

    async def get_dead(self, app_name: str, cursor: UUID | None, per_page: int) -> list[Call]:
        page = searchable(app_name), cursor or AFTER_ALL_IDS, per_page
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("get_dead"), *page)
        return [Call(**shown(row)) for row in rows]

    async def count_dead(self) -> int:
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(query("count_dead"))
        return count

    async def find_dead(self, app_name: str, limit: int) -> list[FoundDead]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("find_dead"), searchable(app_name), limit)
        return [FoundDead(**row) for row in rows]

    async def find_dead_of(self, ids: Sequence[UUID]) -> list[FoundDead]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("find_dead_of"), ids)
        return [FoundDead(**row) for row in rows]

    async def purge_dead(self, ids: Sequence[UUID]) -> int:
        async with self._database.connection() as connection:
            purged: int = await connection.fetchval(query("purge_dead"), ids)
        return purged


def _retried(row: Record) -> Retried:
    fields = dict(row)
    return Retried(parent_id=fields.pop("parent_id"), entry=QueueEntry(**fields))
