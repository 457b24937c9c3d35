"""The calls of the store as clients see them: stored, shown, compared and set. What workers do to calls is in runs.py.

Status is always the visible one: a delayed call that is due is shown as queued. Payload, headers and environment are
never shown.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record, UniqueViolationError

from common.errors import (
    AppsBeingRemovedError,
    AppsNotFoundError,
    CallNotFoundError,
    CallResultNotFoundError,
    CallsAlreadyExistError,
    DatastoreCannotUpdateCallError,
)
from common.models import (
    AFTER_ALL_IDS,
    Call,
    CallFilter,
    CallStats,
    CallStatus,
    QueueEntry,
    Reason,
    check_reason,
    check_transition,
    id_bounds,
)
from common.store.apps import require_app_name
from common.store.base import CallResult, EarlierCall, Submission
from common.store.database import Connection, OnDatabase, time_for
from common.store.queries import query
from common.store.routes import insert_revision, require_route_name
from common.store.steering import CallCounts, Counts
from common.store.text import searchable, storable, storable_headers

HOUR_S = 3600.0
COUNT_TIMEOUT_S = 60.0  # it reads every call, perhaps of one app
_SHOWN_AS_STORED = (
    *("id", "app_name", "path", "type", "detail", "error", "exit_code", "priority", "route_revision"),
    *("cold", "attempt", "due_at", "created_at", "claimed_at", "started_at", "completed_at", "parent_id"),
    *("last_detail", "last_error"),
)
_OF_ENTRY = ("id", "order_no", "priority", "delay_ms", "memory_mb")


class Calls(OnDatabase):
    """Calls, newest first. The promises stand in Datastore."""

    async def insert_call(self, call: Call) -> QueueEntry:
        return (await self.insert_calls([call]))[0]

    async def insert_calls(self, calls: Sequence[Call]) -> list[QueueEntry]:
        stored = await self.submit_calls([Submission(call=call) for call in calls])
        return [entry for entry in stored if isinstance(entry, QueueEntry)]

    async def submit_calls(self, submissions: Sequence[Submission]) -> list[QueueEntry | EarlierCall]:
        for submission in submissions:
            require_route_name(submission.call.app_name, submission.call.path)
            submission.call.validate()
        if not submissions:
            return []
        columns = list(zip(*map(_inserted, submissions), strict=True))
        size_bytes = sum(len(one.call.payload or b"") for one in submissions)
        revisions = {one.revision.id: one.revision for one in submissions if one.revision is not None}
        async with self._database.connection() as connection:
            rows = await self._insert_calls(connection, columns, revisions, size_bytes)
            if not rows and revisions:
                for missing in await connection.fetch(query("missing_revisions"), list(revisions)):
                    await insert_revision(connection, revisions[missing["id"]])
                rows = await self._insert_calls(connection, columns, revisions, size_bytes)
            if not rows:
                names = {submission.call.app_name for submission in submissions}
                are_there = await connection.fetchval(query("count_apps"), names) == len(names)
                raise AppsBeingRemovedError if are_there else AppsNotFoundError
        return _submitted(submissions, rows)

    async def _insert_calls(
        self,
        connection: Connection,
        columns: Sequence[tuple[object, ...]],
        revisions: Collection[bytes],
        size_bytes: int,
    ) -> list[Record]:
        which = *columns, self._keys_keep_s, list(revisions)
        try:
            rows: list[Record] = await connection.fetch(
                query("insert_calls"), *which, timeout=time_for(size_bytes)
            )
        except UniqueViolationError as error:
            raise CallsAlreadyExistError from error
        return rows

    async def prune_idempotency_keys(self, limit: int) -> int:
        async with self._database.connection() as connection:
            pruned: int = await connection.fetchval(query("prune_idempotency_keys"), self._keys_keep_s, limit)
        return pruned

    @property
    def _keys_keep_s(self) -> float:
        return self._settings.idempotency_keys_keep_hours * HOUR_S

    async def update_call(self, old: Call, new: Call) -> None:
        if old.id != new.id:
            raise DatastoreCannotUpdateCallError("Call ids differ", field="id")
        check_transition(old.status, new.status)
        check_reason(new.status, new.reason)
        which = old.id, searchable(old.app_name), searchable(old.path), old.attempt
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("update_call"), *which, *_mutable(old), *_mutable(new))
        if not rows[0]["found"]:
            raise CallNotFoundError
        if not rows[0]["updated"]:
            raise DatastoreCannotUpdateCallError

    async def get_call(self, app_name: str, call_id: UUID) -> Call:
        require_app_name(app_name)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("get_call"), searchable(app_name), call_id)
        if row is None:
            raise CallNotFoundError
        return Call(**shown(row))

    async def get_calls(self, filter: CallFilter | None = None) -> list[Call]:
        sql, arguments = _listing(filter or CallFilter())
        async with self._database.connection() as connection:
            # Prepared each time, so planned for this app and these ids. A kept plan is one for a short range of ids:
            # where the range is all ids, it may read the calls of every app to find those of a small one.
            rows = await (await connection.prepare(sql, name="")).fetch(*arguments)
        return [Call(**shown(row)) for row in rows]

    async def get_calls_by_id(self, ids: Sequence[UUID]) -> dict[UUID, Call]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("get_calls_by_id"), ids)
        return {row["id"]: Call(**shown(row)) for row in rows}

    async def count_calls(self, limit: int) -> CallCounts:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("count_calls"), limit, timeout=COUNT_TIMEOUT_S)
        return CallCounts(
            all=_counts(rows[0], "all_") if rows else Counts(),
            by_path={(row["app_name"], row["path"]): _counts(row) for row in rows},
        )

    async def count_unfinished(self, app_name: str, limit: int) -> int:
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(query("count_unfinished"), searchable(app_name), limit)
        return count

    async def sum_stored_bytes(self, app_name: str) -> int:
        async with self._database.connection() as connection:
            total: int = await connection.fetchval(
                query("sum_stored_bytes"), searchable(app_name), timeout=COUNT_TIMEOUT_S
            )
        return total

    async def get_payload(self, call_id: UUID) -> bytes:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                query("get_payload"), call_id, timeout=time_for(self._settings.body_max_bytes)
            )
        if row is None:
            raise CallNotFoundError
        payload: bytes = row["payload"]
        return payload

    async def get_result(self, app_name: str, call_id: UUID) -> CallResult:
        require_app_name(app_name)
        async with self._database.connection() as connection:
            which = searchable(app_name), call_id
            row = await connection.fetchrow(
                query("get_result"), *which, timeout=time_for(self._settings.result_max_bytes)
            )
        if row is None:
            raise CallResultNotFoundError
        return CallResult(**row)


def shown(row: Record) -> dict[str, Any]:
    """The fields of a Call that its own row holds."""
    fields = {name: row[name] for name in _SHOWN_AS_STORED}
    return fields | {
        "status": CallStatus(row["status"]),
        "reason": Reason(row["reason"]) if row["reason"] else None,
        "delay": row["delay_s"],
        "memory": row["memory_mb"],
        "timeout": row["timeout_s"] or 0,
        "stats": msgspec.convert(row["stats"], CallStats),
    }


def _counts(row: Record, prefix: str = "") -> Counts:
    return Counts(**{name: row[prefix + name] for name in Counts.__struct_fields__})


def _inserted(submission: Submission) -> tuple[object, ...]:
    call, key = submission.call, submission.key
    return (
        call.id,
        call.app_name,
        call.path,
        call.type,
        call.priority,
        call.delay,
        call.memory,
        call.route_revision,
        call.created_at,
        storable(call.method),
        storable(call.url),
        storable_headers(call.headers),
        call.payload or b"",
        call.timeout or None,
        key and key.key,
        key and key.request_hash,
    )


def _submitted(submissions: Sequence[Submission], rows: Sequence[Record]) -> list[QueueEntry | EarlierCall]:
    """What the rows say of each submission. A key that names the submission's own call was written with it."""
    entries: dict[UUID, QueueEntry] = {}
    keys: dict[tuple[str, str], Record] = {}
    for row in rows:
        if row["key"] is None:
            entries[row["id"]] = QueueEntry(**{name: row[name] for name in _OF_ENTRY})
        else:
            keys[row["app_name"], row["key"]] = row
    answers: list[QueueEntry | EarlierCall] = []
    for submission in submissions:
        call, key = submission.call, submission.key
        if call.id in entries or key is None:
            answers.append(entries[call.id])
            continue
        row = keys[call.app_name, key.key]
        answers.append(EarlierCall(id=row["id"], is_same=row["request_hash"] == key.request_hash))
    return answers


def _mutable(call: Call) -> tuple[object, ...]:
    """What update_call compares and sets, in the order of its parameters."""
    return (
        call.status,
        call.reason,
        storable(call.detail),
        storable(call.error),
        call.exit_code,
        call.created_at,
        call.claimed_at,
        call.started_at,
        call.completed_at,
        call.stats,
    )


def _stored(statuses: Sequence[CallStatus]) -> set[CallStatus]:
    """How calls that are shown with these statuses may be stored."""
    return {*statuses, *([CallStatus.DELAYED] if CallStatus.QUEUED in statuses else ())}


def _listing(wanted: CallFilter) -> tuple[str, tuple[object, ...]]:
    """The list as one of four statements, so that the planner always sees which index gives the order."""
    app_name, path = searchable(wanted.app_name), searchable(wanted.path)
    first, end = id_bounds(wanted.from_time, wanted.to_time)
    before = min(end, wanted.cursor or AFTER_ALL_IDS)
    page = first, before, wanted.from_time, wanted.to_time, wanted.per_page
    if not app_name:
        return query("get_calls"), (*page, path, wanted.statuses)
    if wanted.statuses:
        return query("get_calls_by_status"), (
            *page,
            app_name,
            path,
            wanted.statuses,
            _stored(wanted.statuses),
        )
    if not path:
        return query("get_calls_by_app"), (*page, app_name)
    return query("get_calls_by_path"), (*page, app_name, path)
