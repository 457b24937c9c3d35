"""Apps, routes and calls as the store's tests use them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.errors import AppsAlreadyExistsError
from common.models import (
    MAX_PRIORITY,
    App,
    Call,
    CallStat,
    CallStatus,
    Headers,
    Outcome,
    QueueEntry,
    Route,
    RouteRevision,
    new_id,
)
from common.store.base import Claimed, ClaimRequest, Settlement
from common.store.postgres import PostgresStore
from tests.polling import eventually

NOW = datetime(2024, 1, 2, 3, 4, 5, 678901, UTC)
EVERY_BYTE = bytes(range(256))
MAX_ATTEMPTS = 5

APP = App(name="app", config={"GREETING": "hello"})
ROUTE = Route(
    app_name="app",
    path="/hello",
    image="hello:1",
    type="async",
    json_framing="line",
    headers={"X-One": ["1", "2"]},
    config={"NAME": "value"},
).set_defaults(NOW)
REVISION = RouteRevision.of(APP, ROUTE)
STATS = (
    CallStat(timestamp=NOW, metrics={"mem_usage": 1}),
    CallStat(timestamp=NOW.replace(microsecond=0), metrics={"mem_usage": 2**60, "cpu_total": 0}),
)


def a_call(
    *,
    app_name: str = "app",
    path: str = "/hello",
    delay: int = 0,
    priority: int = 0,
    payload: bytes = b"in",
    headers: Headers | None = None,
    created_at: datetime = NOW,
) -> Call:
    """A call as the api submits it."""
    return Call(
        id=new_id(),
        app_name=app_name,
        path=path,
        type="async",
        delay=delay,
        priority=priority,
        payload=payload,
        method="POST",
        url="http://localhost/r/app/hello?x=1",
        headers=headers or {"Accept": ["a", "b"]},
        memory=REVISION.memory,
        route_revision=REVISION.id,
        created_at=created_at,
    )


def an_outcome(status: CallStatus = CallStatus.SUCCESS, **fields: Any) -> Outcome:
    """How a run ended."""
    return Outcome(status=status, completed_at=NOW, started_at=NOW, **fields)


async def submit(store: PostgresStore, *calls: Call) -> list[QueueEntry]:
    """Store *calls* as the api does, their apps and their revision first."""
    for name in {call.app_name for call in calls}:
        with suppress(AppsAlreadyExistsError):
            await store.insert_app(App(name=name))
    await store.insert_revision(REVISION)
    return await store.insert_calls(calls)


async def claim(
    store: PostgresStore, call: Call, token: int, incarnation: UUID | None = None
) -> Claimed | None:
    """Claim one call; None if the answer leaves it out."""
    request = ClaimRequest(id=call.id, token=token)
    claimed = await store.claim([request], incarnation or new_id(), MAX_ATTEMPTS)
    return claimed[0] if claimed else None


async def settle(store: PostgresStore, call: Call, token: int, outcome: Outcome | None = None) -> bool:
    """Settle one call; whether the token owns it."""
    settlement = Settlement(id=call.id, token=token, outcome=outcome or an_outcome())
    return await store.settle([settlement]) == {call.id}


async def fall_due(store: PostgresStore, calls: Sequence[Call]) -> None:
    """Let the delay of *calls* be over."""
    ids = [call.id for call in calls]
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE calls SET due_at = now() WHERE id = ANY ($1)", ids)


async def unfinished(store: PostgresStore, page_calls: int = 100, after: int = 0) -> list[QueueEntry]:
    """What belongs in the queue, in its order."""
    found: list[QueueEntry] = []
    for priority in range(MAX_PRIORITY, -1, -1):
        last = after
        while page := await store.unfinished(priority, last, page_calls):
            assert len(page) <= page_calls
            found += page
            last = page[-1].order_no
    return found


async def request_cancel(store: PostgresStore, call: Call) -> None:
    """Ask for the end of a running call."""
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE calls SET cancel_requested_at = now() WHERE id = $1", call.id)


async def row_of(store: PostgresStore, call: Call) -> asyncpg.Record:
    """Everything that is stored of the call itself."""
    async with store.get_database().acquire() as connection:
        row = await connection.fetchrow("SELECT * FROM calls WHERE id = $1", call.id)
    assert row is not None
    return row


async def until_blocked(store: PostgresStore, count: int) -> None:
    """Return when *count* statements wait for a lock in this database."""

    async def blocked() -> bool:
        async with store.get_database().acquire() as connection:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        return found == count

    await eventually(blocked)
