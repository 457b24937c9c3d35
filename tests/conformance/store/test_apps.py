import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from common import errors
from common.models import App, AppFilter, CallFilter, CallStatus
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import APP, NOW, ROUTE, a_call, claim, settle, submit, until_blocked


async def test_an_app_comes_back_as_it_was_stored(store: PostgresStore) -> None:
    stored = await store.insert_app(App(name="Test", config={"A": "1", "B": ""}).set_defaults(NOW))
    assert stored == App(name="Test", config={"A": "1", "B": ""}, created_at=NOW, updated_at=NOW)
    assert await store.get_app("Test") == stored


async def test_an_app_without_times_gets_one_reading_of_the_clock(store: PostgresStore) -> None:
    stored = await store.insert_app(APP)
    assert stored.created_at is not None
    assert stored.created_at == stored.updated_at
    assert abs((datetime.now(UTC) - stored.created_at).total_seconds()) < 60


async def test_no_app_and_no_name_are_refused(store: PostgresStore) -> None:
    with pytest.raises(errors.DatastoreEmptyAppError):
        await store.insert_app(None)
    with pytest.raises(errors.DatastoreEmptyAppError):
        await store.update_app(None)
    for refused in (
        store.insert_app(App()),
        store.update_app(App()),
        store.get_app(""),
        store.remove_app(""),
    ):
        with pytest.raises(errors.DatastoreEmptyAppNameError):
            await refused


@pytest.mark.parametrize("name", ["unknown", "nul\0", "\ud800", "App"])
async def test_an_unknown_app_is_not_found(store: PostgresStore, app: App, name: str) -> None:
    for missing in (store.get_app(name), store.update_app(App(name=name)), store.remove_app(name)):
        with pytest.raises(errors.AppsNotFoundError):
            await missing


async def test_a_name_is_taken_once(store: PostgresStore, app: App) -> None:
    with pytest.raises(errors.AppsAlreadyExistsError):
        await store.insert_app(App(name=app.name, config={"other": "x"}))
    assert await store.get_app(app.name) == app


async def test_apps_are_listed_by_name_in_byte_order_page_by_page(store: PostgresStore) -> None:
    assert await store.get_apps() == []
    names = ["Abcdefg", "Test", "Zed", "_x", "abc", "b-1"]
    for name in reversed(names):
        await store.insert_app(App(name=name))
    assert [app.name for app in await store.get_apps()] == names
    assert [app.name for app in await store.get_apps(AppFilter())] == names
    first = await store.get_apps(AppFilter(per_page=4))
    rest = await store.get_apps(AppFilter(per_page=4, cursor=first[-1].name))
    assert [app.name for app in first + rest] == names


async def test_apps_are_filtered_by_name(store: PostgresStore) -> None:
    for name in "abc":
        await store.insert_app(App(name=name))
    assert [app.name for app in await store.get_apps(AppFilter(name="b"))] == ["b"]
    assert [app.name for app in await store.get_apps(AppFilter(name_in=("c", "a", "x")))] == ["a", "c"]
    assert await store.get_apps(AppFilter(name="b", name_in=("c",))) == []
    assert await store.get_apps(AppFilter(name="nul\0", cursor="\0")) == []


async def test_update_merges_config(store: PostgresStore, app: App) -> None:
    updated = await store.update_app(App(name=app.name, config={"GREETING": "", "NEW": "1", "NEVER": ""}))
    assert updated.config == {"NEW": "1"}
    assert updated.created_at == app.created_at
    assert await store.get_app(app.name) == updated


async def test_update_refuses_a_merged_config_that_is_too_large(store: PostgresStore, app: App) -> None:
    for number in range(8):
        await store.update_app(App(name=app.name, config={f"K{number}": "x" * 65_000}))
    with pytest.raises(errors.InvalidConfigError):
        await store.update_app(App(name=app.name, config={"K8": "x" * 65_000}))
    assert "K8" not in (await store.get_app(app.name)).config


async def test_updated_at_moves_only_on_a_change(store: PostgresStore, app: App) -> None:
    for nothing in ({}, {"GREETING": "hello"}, {"absent": ""}):
        assert await store.update_app(App(name=app.name, config=nothing)) == app
    changed = await store.update_app(App(name=app.name, config={"GREETING": "hi"}))
    assert changed.updated_at is not None
    assert app.updated_at is not None
    assert changed.updated_at > app.updated_at


async def test_concurrent_updates_lose_nothing(store: PostgresStore, app: App) -> None:
    await asyncio.gather(*(store.update_app(App(name=app.name, config={f"K{i}": "v"})) for i in range(8)))
    assert set((await store.get_app(app.name)).config) == {"GREETING", *(f"K{i}" for i in range(8))}


async def test_removing_an_app_takes_its_routes_along(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    await store.remove_app(app.name)
    with pytest.raises(errors.AppsNotFoundError):
        await store.get_app(app.name)
    assert await store.get_routes_by_app(app.name) == []
    await store.insert_app(APP)
    assert await store.get_routes_by_app(app.name) == []


async def test_removing_an_app_takes_its_calls_along_and_all_that_they_left(
    store: PostgresStore, app: App
) -> None:
    ended, waiting, delayed, running = a_call(), a_call(), a_call(delay=60), a_call()
    other = a_call(app_name="other")
    await submit(store, ended, waiting, delayed, running, other)
    await claim(store, ended, 1)
    assert await settle(store, ended, 1)
    await claim(store, running, 2)
    assert set(await store.remove_app(app.name)) == {waiting.id, delayed.id, running.id}
    await store.insert_app(APP)
    assert await store.get_calls(CallFilter(app_name=app.name)) == []
    for call in (ended, waiting, delayed, running):
        with pytest.raises(errors.CallNotFoundError):
            await store.get_payload(call.id)
    with pytest.raises(errors.CallLogNotFoundError):
        await store.get_log(app.name, ended.id)
    with pytest.raises(errors.CallResultNotFoundError):
        await store.get_result(app.name, ended.id)
    assert not await settle(store, running, 2)
    assert await claim(store, waiting, 3) is None
    assert (await store.get_call("other", other.id)).status is CallStatus.QUEUED


async def test_removing_an_app_takes_along_what_a_settle_under_way_left(
    store: PostgresStore, app: App
) -> None:
    call = a_call()
    await submit(store, call)
    async with store.get_database().acquire() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE calls SET status = 'success'")
            await connection.execute("INSERT INTO call_results VALUES ($1, 'out')", call.id)
            await connection.execute("INSERT INTO call_logs VALUES ($1, 'app', 'log')", call.id)
            removal = asyncio.create_task(store.remove_app(app.name))
            await until_blocked(store, 1)
        assert await removal == []
        for table in ("calls", "call_inputs", "call_results", "call_logs"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608


async def test_no_call_of_an_app_that_is_gone_is_stored_nor_any_other_of_its_batch(
    store: PostgresStore, app: App
) -> None:
    with pytest.raises(errors.AppsNotFoundError):
        await store.insert_calls([a_call(), a_call(app_name="gone")])
    assert await store.get_calls() == []
    async with store.get_database().acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM call_inputs") == 0


async def test_a_call_of_an_app_that_is_being_removed_is_refused_at_once(
    store: PostgresStore, app: App
) -> None:
    await store.insert_app(App(name="other"))
    async with store.get_database().acquire() as connection:
        for end, afterwards in (("ROLLBACK", None), ("COMMIT", errors.AppsNotFoundError)):
            await connection.execute("BEGIN")
            await connection.execute("DELETE FROM apps WHERE name = 'app'")
            async with asyncio.timeout(1):
                for refused in ([a_call()], [a_call(app_name="other"), a_call()]):
                    with pytest.raises(errors.AppsBeingRemovedError):
                        await store.insert_calls(refused)
                await store.insert_call(a_call(app_name="other"))
            await connection.execute(end)
            with pytest.raises(afterwards) if afterwards else nullcontext():
                await store.insert_call(a_call())
    assert len(await store.get_calls()) == 3


async def test_a_change_of_an_app_refuses_no_call(store: PostgresStore, app: App) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("UPDATE apps SET config = '{}'")
        await store.insert_call(a_call())


async def test_a_removal_takes_along_the_calls_that_were_being_stored(store: PostgresStore, app: App) -> None:
    for _ in range(5):
        calls = [a_call() for _ in range(20)]
        answers = await asyncio.gather(
            *(store.insert_call(call) for call in calls[:10]),
            store.remove_app(app.name),
            *(store.insert_call(call) for call in calls[10:]),
            return_exceptions=True,
        )
        failures = {type(answer) for answer in answers if isinstance(answer, Exception)}
        assert failures <= {errors.AppsNotFoundError, errors.AppsBeingRemovedError}
        assert await store.get_calls() == []
        await store.insert_app(APP)
