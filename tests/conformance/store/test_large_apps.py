"""Apps with many calls go page by page, so that nobody else waits; what breaks off is gone on with."""

import asyncio
from uuid import UUID

import pytest

from common import errors
from common.models import App, Call, CallStatus, Scope, Token, hash_secret, new_id, new_secret
from common.store import apps
from common.store.base import IdempotencyKey, RemovedCalls, Submission
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import APP, a_call, claim, settle, submit, until_blocked

FIRST = UUID(int=0)
PARTS = ("calls", "call_inputs", "call_results", "call_logs")


async def submit_keyed(store: PostgresStore, *calls: Call) -> None:
    """Store the calls; the key of each is its id."""
    keys = [IdempotencyKey(key=str(call.id), request_hash=b"") for call in calls]
    await store.submit_calls([Submission(call=call, key=key) for call, key in zip(calls, keys, strict=True)])


async def end(store: PostgresStore, *calls: Call) -> None:
    for call in calls:
        await claim(store, call, 1)
        assert await settle(store, call, 1)


async def remove_calls(store: PostgresStore, app: App, limit: int) -> list[RemovedCalls]:
    """All pages, one after the other."""
    pages = [await store.remove_calls_of_app(app, FIRST, limit)]
    while pages[-1].last is not None:
        pages.append(await store.remove_calls_of_app(app, pages[-1].last, limit))
    return pages


async def remove_keys(store: PostgresStore, limit: int) -> int:
    """All pages; how many there were."""
    pages, key = 0, ""
    while (last := await store.remove_keys_of_app("app", key, limit)) is not None:
        pages, key = pages + 1, last
    return pages + 1


async def ids_left(store: PostgresStore, table: str) -> set[UUID]:
    column = "id" if table == "calls" else "call_id"
    rows = await store.get_database().fetch(f"SELECT {column} AS id FROM {table}")  # noqa: S608
    return {row["id"] for row in rows}


def a_token(app_name: str | None = None) -> Token:
    scope = Scope.APP if app_name else Scope.ADMIN
    return Token(id=new_id(), name="t", scope=scope, app_name=app_name, hash=hash_secret(new_secret()))


async def test_what_ended_or_waits_goes_page_by_page_and_the_app_with_the_rest(
    store: PostgresStore, app: App
) -> None:
    calls = [a_call(delay=60 if number == 3 else 0) for number in range(9)]
    other, running = a_call(app_name="other"), calls[6]
    await submit(store, other)
    await submit_keyed(store, *calls)
    await end(store, *(calls[number] for number in (0, 2, 4, 8)))
    await claim(store, running, 2)
    pages = await remove_calls(store, app, 2)
    assert len(pages) == 5
    assert [id_ for page in pages for id_ in page.unfinished] == [calls[n].id for n in (1, 3, 5, 7)]
    assert await ids_left(store, "calls") == await ids_left(store, "call_inputs") == {running.id, other.id}
    assert await ids_left(store, "call_results") == await ids_left(store, "call_logs") == set()
    assert await remove_keys(store, 2) == 5
    assert await ids_left(store, "idempotency_keys") == {running.id}
    assert (await store.get_app("app")) == app

    assert await remove_calls(store, app, 2) == [RemovedCalls(unfinished=[], last=None)]
    assert await store.remove_app("app") == [running.id]
    assert await ids_left(store, "calls") == {other.id}
    assert await ids_left(store, "idempotency_keys") == set()
    with pytest.raises(errors.AppsNotFoundError):
        await store.remove_calls_of_app(app, FIRST, 2)


async def test_a_full_last_page_is_followed_by_an_empty_one(store: PostgresStore, app: App) -> None:
    calls = [a_call(), a_call()]
    await submit(store, *calls)
    first, second = await remove_calls(store, app, 2)
    assert first == RemovedCalls(unfinished=[call.id for call in calls], last=calls[1].id)
    assert second == RemovedCalls(unfinished=[], last=None)


async def test_a_page_waits_for_nobody(store: PostgresStore, app: App) -> None:
    """What a settle under way leaves goes with the app, as does the key that somebody is replacing."""
    call, waiting = a_call(), a_call()
    await submit_keyed(store, call, waiting)
    await claim(store, call, 1)
    async with store.get_database().acquire() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE calls SET status = 'success' WHERE id = $1", call.id)
            await connection.execute("INSERT INTO call_results VALUES ($1, 'out')", call.id)
            await connection.execute("SELECT FROM idempotency_keys WHERE call_id = $1 FOR UPDATE", waiting.id)
            async with asyncio.timeout(1):
                assert await store.remove_calls_of_app(app, FIRST, 10) == RemovedCalls(
                    unfinished=[waiting.id], last=None
                )
                assert await store.remove_keys_of_app("app", "", 10) is None
        assert await ids_left(store, "calls") == {call.id}
        assert await ids_left(store, "idempotency_keys") == {call.id, waiting.id}
    assert await store.remove_app("app") == []
    for table in (*PARTS, "idempotency_keys"):
        assert await ids_left(store, table) == set(), table


async def test_nobody_waits_for_a_page(store: PostgresStore, app: App) -> None:
    """But for who wants the very calls that go."""
    ended, running = a_call(), a_call()
    await submit(store, ended, running)
    await end(store, ended)
    await claim(store, running, 2)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE call_results IN SHARE MODE")
        removal = asyncio.create_task(store.remove_calls_of_app(app, FIRST, 10))
        await until_blocked(store, 1)
        async with asyncio.timeout(1):
            await store.insert_call(a_call())
            await store.update_app(App(name="app", config={"A": "1"}))
            await store.insert_token(a_token())
            await store.insert_token(a_token("app"))
            assert await claim(store, running, 3)
        assert not removal.done()
    assert (await removal).unfinished == []


async def test_a_new_app_of_that_name_is_left_alone(store: PostgresStore, app: App) -> None:
    await submit(store, a_call())
    await store.remove_app("app")
    await store.insert_app(APP)
    await submit(store, call := a_call())
    with pytest.raises(errors.AppsNotFoundError):
        await store.remove_calls_of_app(app, FIRST, 10)
    assert (await store.get_call("app", call.id)).status is CallStatus.QUEUED


async def test_tokens_come_and_go_while_a_removal_is_held_up(store: PostgresStore, app: App) -> None:
    await store.insert_app(App(name="other"))
    await submit(store, call := a_call())
    tokens = [await store.insert_token(token) for token in (a_token(), a_token(), a_token("app"))]
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls FOR UPDATE")
        removal = asyncio.create_task(store.remove_app("app"))
        await until_blocked(store, 1)
        async with asyncio.timeout(1):
            await store.remove_token(tokens[1].id)
            await store.remove_token(tokens[2].id)
            created = await store.insert_token(a_token())
            of_other = await store.insert_token(a_token("other"))
        assert not removal.done()
    assert await removal == [call.id]
    assert await store.get_tokens() == [tokens[0], created, of_other]


async def test_a_removal_that_ran_out_of_time_leaves_a_smaller_app(
    store: PostgresStore, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "REMOVE_TIMEOUT_S", 0.3)
    ended, running = a_call(), a_call()
    await submit_keyed(store, ended, running)
    await end(store, ended)
    await claim(store, running, 2)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR UPDATE", running.id)
        assert len(await remove_calls(store, app, 1)) == 3
        await remove_keys(store, 1)
        with pytest.raises(errors.StoreUnavailableError):
            await store.remove_app("app")
    assert await store.get_app("app") == app
    assert await ids_left(store, "calls") == await ids_left(store, "idempotency_keys") == {running.id}
    await store.insert_call(a_call())
    assert len(await remove_calls(store, app, 1)) == 3
    assert await store.remove_app("app") == [running.id]
    for table in (*PARTS, "idempotency_keys"):
        assert await ids_left(store, table) == set(), table
