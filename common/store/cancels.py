"""Cancels in the store: before the queue hears of one, it stands here. Never ends a run that a live worker has."""

from collections.abc import Sequence
from uuid import UUID

from common.errors import CallIsFinalError, CallNotFoundError
from common.models import Call, CallStatus
from common.store.apps import require_app_name
from common.store.base import ClaimRequest
from common.store.calls import shown
from common.store.database import OnDatabase
from common.store.queries import query
from common.store.text import searchable


class Cancels(OnDatabase):
    """Ends that were asked for. The promises stand in Steering and Datastore."""

    async def cancel(self, app_name: str, call_id: UUID) -> Call:
        require_app_name(app_name)
        which = searchable(app_name), call_id
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("cancel"), *which)
            if row is not None:
                return Call(**shown(row))
            final = await connection.fetchrow(query("get_call"), *which)
        if final is None:
            raise CallNotFoundError
        raise CallIsFinalError.of(CallStatus(final["status"]))

    async def cancel_requested(self, requests: Sequence[ClaimRequest]) -> set[UUID]:
        ids, tokens = [request.id for request in requests], [request.token for request in requests]
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("cancel_requested"), ids, tokens)
        return {row["id"] for row in rows}

    async def settle_cancelled(self, limit: int) -> list[UUID]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("settle_cancelled"), self._settings.heartbeat_stale_s, limit)
        return [row["id"] for row in rows]
