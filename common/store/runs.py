"""The calls of the store as workers see them: claimed, held, settled, released; and ended by those who give them up.

Every change is guarded by the token of a reservation: an older one changes nothing. Never decides what to run or when.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from common.errors import DatastoreCannotUpdateCallError
from common.models import Call, Outcome, RetryPolicy, check_reason
from common.store.base import Claimed, ClaimRequest, FinishedCall, Settlement
from common.store.calls import shown
from common.store.database import OnDatabase, time_for
from common.store.queries import query
from common.store.text import storable, storable_headers

INLINE_PAYLOAD_BYTES = 256 * 1024
_OF_REVISION = (
    *("image", "format", "timeout", "idle_timeout", "memory", "base_env", "writable_root"),
    *("json_framing", "body_encoding", "network"),
)


class Runs(OnDatabase):
    """What becomes of accepted calls. The promises stand in Datastore."""

    async def claim(
        self, requests: Sequence[ClaimRequest], incarnation: UUID, max_attempts: int
    ) -> list[Claimed]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                query("claim"), *_columns(requests), incarnation, max_attempts, INLINE_PAYLOAD_BYTES
            )
        claimed = {(row["id"], row["token"]): row for row in rows}
        taken = [claimed.get((request.id, request.token)) for request in requests]
        return [Claimed(call=_call(row), token=row["token"]) for row in taken if row is not None]

    async def mark_started(self, call_id: UUID, token: int, started_at: datetime) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("mark_started"), call_id, token, started_at)

    async def held(self, requests: Sequence[ClaimRequest]) -> set[UUID]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("held"), *_columns(requests))
        return {row["id"] for row in rows}

    async def settle(self, settlements: Sequence[Settlement]) -> set[UUID]:
        if not settlements:
            return set()
        columns = zip(*map(_settled, settlements), strict=True)
        size_bytes = sum(len(one.outcome.result) + len(one.outcome.log) for one in settlements)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("settle"), *columns, timeout=time_for(size_bytes))
        return {row["id"] for row in rows}

    async def record_finished(self, finished: Sequence[FinishedCall]) -> None:
        if not finished:
            return
        columns = zip(*map(_finished, finished), strict=True)
        size_bytes = sum(len(one.outcome.log) for one in finished)
        async with self._database.connection() as connection:
            await connection.execute(query("record_finished"), *columns, timeout=time_for(size_bytes))

    async def release(
        self,
        requests: Sequence[ClaimRequest],
        *,
        give_back_attempt: bool,
        delay_ms: int = 0,
        failed: Outcome | None = None,
    ) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                query("release"),
                *(*_columns(requests), give_back_attempt, delay_ms),
                *((failed.detail, storable(failed.error)) if failed else (None, None)),
            )

    async def settle_dead(self, ids: Sequence[UUID]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("settle_dead"), ids)

    async def settle_no_capacity(self, largest_mb: int, limit: int) -> list[UUID]:
        settings = self._settings
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                query("settle_no_capacity"),
                *(largest_mb, settings.heartbeat_stale_s, settings.no_capacity_grace_s, limit),
            )
        return [row["id"] for row in rows]

    async def ended(self, ids: Sequence[UUID]) -> set[UUID]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("ended"), ids)
        return {row["id"] for row in rows}


def _columns(requests: Sequence[ClaimRequest]) -> tuple[list[UUID], list[int]]:
    return [request.id for request in requests], [request.token for request in requests]


def _settled(settlement: Settlement) -> tuple[object, ...]:
    outcome = settlement.outcome
    return (
        settlement.id,
        settlement.token,
        *_ended(outcome),
        outcome.result,
        outcome.response_status,
        storable_headers(outcome.response_headers),
    )


def _finished(finished: FinishedCall) -> tuple[object, ...]:
    call = finished.call
    return (
        call.id,
        *_ended(finished.outcome),
        call.app_name,
        call.path,
        call.memory,
        call.route_revision,
        call.attempt,
        call.created_at,
        call.claimed_at,
    )


def _ended(outcome: Outcome) -> tuple[object, ...]:
    """What every end of a call has, in the order of the statements."""
    if not outcome.status.is_final:
        raise DatastoreCannotUpdateCallError(f"A run can't end as {outcome.status}", field="status")
    check_reason(outcome.status, outcome.reason)
    return (
        outcome.status,
        outcome.reason,
        storable(outcome.detail),
        storable(outcome.error),
        outcome.exit_code,
        outcome.started_at,
        outcome.completed_at,
        msgspec.json.encode(outcome.stats).decode(),
        outcome.cold,
        outcome.log,
        msgspec.json.encode(outcome.log_marks).decode(),
    )


def _call(row: Record) -> Call:
    """A claimed call, with what its worker needs of its inputs and its revision. Its own time limit counts first."""
    fields: dict[str, Any] = shown(row)
    fields |= {name: row[name] for name in ("method", "url", "headers", "payload")}
    revision = row["revision"] or {}
    if revision.get("retry"):
        fields["retry"] = msgspec.convert(revision["retry"], RetryPolicy)
    fields |= {name: revision[name] for name in _OF_REVISION if name in revision}
    return Call(**fields | ({"timeout": row["timeout_s"]} if row["timeout_s"] else {}))
