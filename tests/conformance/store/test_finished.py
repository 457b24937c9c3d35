"""Sync calls are stored when they have ended: once, with log and stats, and not after their app is gone."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from common import errors
from common.models import App, Call, CallFilter, CallStatus, Detail, Reason
from common.store.base import FinishedCall
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import (
    EVERY_BYTE,
    NOW,
    STATS,
    a_call,
    an_outcome,
    row_of,
    submit,
    until_blocked,
)


def finished(
    call: Call | None = None, status: CallStatus = CallStatus.SUCCESS, **fields: Any
) -> FinishedCall:
    return FinishedCall(call=call or a_call(), outcome=an_outcome(status, **fields))


async def test_a_finished_call_is_shown_with_all_that_is_known_of_it(store: PostgresStore, app: App) -> None:
    call = replace(a_call(), attempt=1, claimed_at=NOW)
    failed = finished(
        call,
        CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail=Detail.EXIT_CODE,
        error="exit\0code 3",
        exit_code=3,
        log=EVERY_BYTE,
        stats=STATS,
        cold=True,
        result=b"answered already",
    )
    await store.record_finished([failed])
    assert await store.get_call("app", call.id) == Call(
        id=call.id,
        app_name="app",
        path="/hello",
        type="sync",
        status=CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail="exit_code",
        error="exit\ufffdcode 3",
        exit_code=3,
        memory=call.memory,
        route_revision=call.route_revision,
        attempt=1,
        stats=STATS,
        cold=True,
        created_at=NOW,
        claimed_at=NOW,
        started_at=NOW,
        completed_at=NOW,
    )
    assert await store.get_log("app", call.id) == EVERY_BYTE
    with pytest.raises(errors.CallResultNotFoundError):
        await store.get_result("app", call.id)
    with pytest.raises(errors.CallNotFoundError):
        await store.get_payload(call.id)


async def test_what_is_stored_already_stays_as_it_is(store: PostgresStore, app: App) -> None:
    first = finished(log=b"first")
    again = finished(first.call, CallStatus.ERROR, reason=Reason.KILLED, log=b"again")
    other = finished()
    await store.record_finished([first])
    before = await row_of(store, first.call)
    await store.record_finished([again, other, other])
    assert await row_of(store, first.call) == before
    assert await store.get_log("app", first.call.id) == b"first"
    assert (await store.get_call("app", other.call.id)).status is CallStatus.SUCCESS
    await store.record_finished([])


async def test_calls_of_an_app_that_is_gone_are_left_out(store: PostgresStore, app: App) -> None:
    lost, kept = finished(a_call(app_name="none")), finished()
    await store.record_finished([lost, kept])
    assert [call.id for call in await store.get_calls(CallFilter())] == [kept.call.id]
    with pytest.raises(errors.CallLogNotFoundError):
        await store.get_log("none", lost.call.id)


async def test_a_removal_under_way_takes_the_calls_of_its_app_along(store: PostgresStore, app: App) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM apps WHERE name = 'app'")
        recording = asyncio.create_task(store.record_finished([finished()]))
        await until_blocked(store, 1)
    await recording
    assert await store.get_calls(CallFilter()) == []


async def test_only_an_end_is_recorded(store: PostgresStore, app: App) -> None:
    for unsound in (finished(status=CallStatus.RUNNING), finished(reason=Reason.TIMEOUT)):
        with pytest.raises(errors.DatastoreCannotUpdateCallError):
            await store.record_finished([unsound])


async def test_an_async_call_is_not_overwritten(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await store.record_finished([finished(call, log=b"not its own")])
    assert (await store.get_call("app", call.id)).status is CallStatus.QUEUED
    with pytest.raises(errors.CallLogNotFoundError):
        await store.get_log("app", call.id)
