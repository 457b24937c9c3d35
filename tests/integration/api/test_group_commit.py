"""Group commit and the route cache: what requests share, and that nobody pays for another's trouble."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from api.invocation import BATCH_MAX_CALLS, Accepted
from api.keys import ROUTES, SUBMITTER
from common.errors import AppsBeingRemovedError, AppsNotFoundError, CallsAlreadyExistError
from common.models import Call, Route, new_id
from common.store.base import Submission
from tests.integration.api.served import ServedApi
from tests.polling import eventually

pytestmark = pytest.mark.usefixtures("alone")  # maintenance would wait for the same locks


def a_call(payload: bytes = b"") -> Call:
    return Call(id=new_id(), app_name="app", path="/hello", type="async", memory=1, payload=payload)


@asynccontextmanager
async def locked(api: ServedApi, table: str) -> AsyncIterator[None]:
    """Nobody can read or write the table."""
    async with api.store.get_database().acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


async def waiting(api: ServedApi) -> int:
    """How many statements wait for a lock."""
    return await api.store.get_database().fetchval(  # type: ignore[no-any-return]
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


async def test_a_hundred_calls_at_once_are_a_hundred_rows_in_the_order_of_their_commits(
    api: ServedApi,
) -> None:
    path = await api.create_route()
    call_ids = await asyncio.gather(*(api.submit(path, str(number).encode()) for number in range(100)))
    assert len(set(call_ids)) == await api.rows() == await api.rows("call_inputs") == 100
    claimed = await api.claim()
    assert {str(one.call.id) for one in claimed} == set(call_ids)
    payload_of = {str(one.call.id): one.call.payload for one in claimed}
    assert [payload_of[call_id] for call_id in call_ids] == [str(number).encode() for number in range(100)]


async def test_calls_that_wait_for_a_commit_share_the_next_in_their_order(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    calls = [a_call() for _ in range(BATCH_MAX_CALLS + 10)]
    async with locked(api, "calls"):
        tasks = [asyncio.create_task(submitter.submit_async(calls[0]))]
        await eventually(lambda: waiting(api))
        tasks += [asyncio.create_task(submitter.submit_async(call)) for call in calls[1:]]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
    await asyncio.gather(*tasks)
    rows = await api.store.get_database().fetch("SELECT id, xmin::text FROM calls ORDER BY order_no")
    assert [row["id"] for row in rows] == [call.id for call in calls]
    commits = [row["xmin"] for row in rows]
    sizes = [commits.count(commit) for commit in dict.fromkeys(commits)]
    assert sizes == [1, BATCH_MAX_CALLS, 9]


async def test_a_batch_is_bounded_in_bytes(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    calls = [a_call(b"x" * 3 * 1024 * 1024) for _ in range(6)]
    async with locked(api, "calls"):
        tasks = [asyncio.create_task(submitter.submit_async(calls[0]))]
        await eventually(lambda: waiting(api))
        tasks += [asyncio.create_task(submitter.submit_async(call)) for call in calls[1:]]
    await asyncio.gather(*tasks)
    rows = await api.store.get_database().fetch("SELECT xmin::text FROM calls ORDER BY order_no")
    commits = [row["xmin"] for row in rows]
    assert [commits.count(commit) for commit in dict.fromkeys(commits)] == [1, 2, 2, 1]


async def test_a_bad_call_fails_alone(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    calls = [a_call() for _ in range(6)]
    calls[2] = replace(calls[2], memory=2**40)
    calls[5] = replace(calls[5], app_name="gone")
    calls[3] = replace(calls[3], id=calls[0].id)
    async with locked(api, "calls"):
        first = asyncio.create_task(submitter.submit_async(a_call()))
        await eventually(lambda: waiting(api))
        tasks = [asyncio.create_task(submitter.submit_async(call)) for call in calls]
        await asyncio.sleep(0)
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    accepted = [calls[place].id for place in (0, 1, 4)]
    assert [answers[0], answers[1], answers[4]] == [
        Accepted(call_id, is_replay=False) for call_id in accepted
    ]
    assert isinstance(answers[2], Exception)
    assert isinstance(answers[3], CallsAlreadyExistError)
    assert isinstance(answers[5], AppsNotFoundError)
    assert await api.rows() == 4


async def test_nobody_waits_for_the_removal_of_anothers_app(api: ServedApi) -> None:
    await api.create_route()
    await api.create_route("other")
    calls = [a_call(), replace(a_call(), app_name="other")]
    async with api.store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM apps WHERE name = 'app'")
        async with asyncio.timeout(1):
            refused, accepted = await api.app[SUBMITTER].submit_all([Submission(call=call) for call in calls])
    assert isinstance(refused, AppsBeingRemovedError)
    assert accepted == Accepted(calls[1].id, is_replay=False)


async def test_a_client_that_goes_away_fails_nobody_else(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    calls = [a_call() for _ in range(4)]
    async with locked(api, "calls"):
        tasks = [asyncio.create_task(submitter.submit_async(calls[0]))]
        await eventually(lambda: waiting(api))
        tasks += [asyncio.create_task(submitter.submit_async(call)) for call in calls[1:]]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.wait({tasks[0], tasks[2]})
    await asyncio.gather(tasks[1], tasks[3])
    # The first was under way already; the third had not been begun.
    stored = {row["id"] for row in await api.store.get_database().fetch("SELECT id FROM calls")}
    assert stored == {calls[0].id, calls[1].id, calls[3].id}


async def test_the_end_of_the_process_commits_and_pushes_what_waits(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    tasks = [asyncio.create_task(submitter.submit_async(a_call())) for _ in range(300)]
    await asyncio.sleep(0)
    await submitter.aclose()
    await asyncio.gather(*tasks)
    assert await api.rows() == 300

    async def are_queued() -> bool:
        return (await api.queue.depth()).calls == 300

    await eventually(are_queued)


async def test_routes_asked_for_together_are_loaded_once_whoever_leaves(api: ServedApi) -> None:
    await api.create_route()
    cache = api.app[ROUTES]
    async with locked(api, "routes"):
        tasks = [asyncio.create_task(cache.get("app", "/hello")) for _ in range(5)]
        await eventually(lambda: waiting(api))
        tasks[0].cancel()
        assert await waiting(api) == 1
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    found = await asyncio.gather(*tasks[1:])
    assert all(one is found[0] for one in found)
    assert await cache.get("app", "/hello") is found[0]


async def test_a_load_that_a_change_overtook_is_not_kept(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.create_route()
    cache, get_route = api.app[ROUTES], api.store.get_route
    was_read, goes_on = asyncio.Event(), asyncio.Event()

    async def get_route_slowly(app_name: str, path: str) -> Route:
        route = await get_route(app_name, path)
        was_read.set()
        await goes_on.wait()
        return route

    monkeypatch.setattr(api.store, "get_route", get_route_slowly)
    old = asyncio.create_task(cache.get("app", "/hello"))
    await was_read.wait()
    await api.ask("PATCH", "/v1/apps/app/routes/hello", json={"route": {"image": "new"}})
    goes_on.set()
    assert (await old).route.image == "fn/hello:1"
    assert (await cache.get("app", "/hello")).route.image == "new"
