"""What routes were: kept while a call refers to it, and not much longer, since it holds config that may be secret."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from common.models import Call, Route, RouteRevision, new_id
from common.store import retention
from common.store.base import Submission
from common.store.database import Connection
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import APP, ROUTE, a_call, claim, settle
from tests.polling import eventually

SECRET = replace(ROUTE, config={"PASSWORD": "hunter2"})
PUBLIC = replace(ROUTE, config={})


@pytest.fixture
async def store(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> PostgresStore:
    """With APP and ROUTE, and where what is retired may be deleted at once."""
    monkeypatch.setattr(retention, "REVISION_RETIRED_S", 0)
    await store.insert_app(APP)
    await store.insert_route(ROUTE)
    return store


async def submit(store: PostgresStore, route: Route) -> Submission:
    """A call of the route as it is given, stored as the api does."""
    revision = RouteRevision.of(APP, route)
    submission = Submission(call=replace(a_call(), route_revision=revision.id), revision=revision)
    await store.submit_calls([submission])
    return submission


async def password_of(store: PostgresStore, call: Call) -> str | None:
    """What a worker that claims the call finds in its environment."""
    claimed = await claim(store, call, 1)
    assert claimed is not None
    assert claimed.call.image == ROUTE.image
    return claimed.call.base_env.get("PASSWORD")


async def kept(store: PostgresStore) -> list[str | None]:
    """The passwords in what is kept, the oldest first."""
    rows = await store.get_database().fetch("SELECT content FROM route_revisions ORDER BY stored_at")
    return [row["content"]["base_env"].get("PASSWORD") for row in rows]


async def round_of(store: PostgresStore) -> tuple[int, int]:
    return await store.retire_revisions(10), await store.prune_revisions(10)


async def test_they_go_with_their_app(store: PostgresStore) -> None:
    await submit(store, SECRET)
    assert await kept(store) == ["hunter2"]
    await store.remove_app("app")
    assert await kept(store) == []
    await store.insert_revision(RouteRevision.of(APP, SECRET))  # by who had read the route before
    assert await kept(store) == []


async def test_an_earlier_one_goes_when_no_call_refers_to_it(store: PostgresStore) -> None:
    waiting = (await submit(store, SECRET)).call
    await submit(store, PUBLIC)
    assert await round_of(store) == (1, 0)
    assert await password_of(store, waiting) == "hunter2"
    await settle(store, waiting, 1)
    assert await round_of(store) == (0, 0)
    await store.get_database().execute("DELETE FROM calls WHERE id = $1", waiting.id)
    assert await round_of(store) == (0, 1)
    assert await kept(store) == [None]
    await store.get_database().execute("DELETE FROM calls")
    assert await round_of(store) == (0, 0), "the route's next call needs it"
    await store.remove_route("app", ROUTE.path)
    assert await round_of(store) == (1, 1)
    assert await kept(store) == []


async def test_none_goes_before_it_was_retired_for_a_while(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(store, SECRET)
    await submit(store, PUBLIC)
    await store.get_database().execute("DELETE FROM calls")
    monkeypatch.undo()
    assert await round_of(store) == (0, 0), "it is new"
    await store.get_database().execute("UPDATE route_revisions SET stored_at = stored_at - interval '1 hour'")
    assert await round_of(store) == (1, 0)
    await store.get_database().execute(
        "UPDATE route_revisions SET retired_at = retired_at - interval '1 hour'"
    )
    assert await round_of(store) == (0, 1)


async def test_a_call_brings_back_what_was_retired_or_deleted(store: PostgresStore) -> None:
    """A route that is again what it was, or an api process that has not heard of the deletion."""
    await submit(store, SECRET)
    await submit(store, PUBLIC)
    assert await store.retire_revisions(10) == 1
    again = (await submit(store, SECRET)).call
    await store.get_database().execute("DELETE FROM calls WHERE id <> $1", again.id)
    assert await store.prune_revisions(10) == 0
    await store.remove_app("app")
    await store.insert_app(APP)
    call = (await submit(store, SECRET)).call
    assert await password_of(store, call) == "hunter2"


@asynccontextmanager
async def transaction(store: PostgresStore) -> AsyncIterator[Connection]:
    async with store.get_database().acquire() as connection, connection.transaction():
        yield connection


async def is_blocked(store: PostgresStore) -> None:
    async def has_waiting() -> bool:
        found: bool = await store.get_database().fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database())"
        )
        return found

    await eventually(has_waiting)


async def test_who_stores_a_call_while_its_revision_is_deleted_brings_it_back(store: PostgresStore) -> None:
    await submit(store, SECRET)
    await submit(store, PUBLIC)
    await store.retire_revisions(10)
    async with transaction(store) as deleting:
        await deleting.execute("DELETE FROM route_revisions WHERE retired_at IS NOT NULL")
        storing = asyncio.create_task(submit(store, SECRET))
        await is_blocked(store)
    call = (await storing).call
    assert await password_of(store, call) == "hunter2"


async def test_who_deletes_a_revision_while_a_call_of_it_is_stored_lets_it_be(store: PostgresStore) -> None:
    old = (await submit(store, SECRET)).call
    await submit(store, PUBLIC)
    await store.retire_revisions(10)
    await store.get_database().execute("DELETE FROM calls")
    async with transaction(store) as storing:
        await storing.execute(
            "UPDATE route_revisions SET retired_at = NULL WHERE id = $1", old.route_revision
        )
        deleting = asyncio.create_task(store.prune_revisions(10))
        await is_blocked(store)
    assert await deleting == 0
    assert await kept(store) == ["hunter2", None]


async def test_two_who_need_a_retired_one_at_once_both_have_it(store: PostgresStore) -> None:
    await submit(store, SECRET)
    await submit(store, PUBLIC)
    for _ in range(5):
        await store.get_database().execute("UPDATE route_revisions SET retired_at = now()")
        stored: Sequence[Submission] = await asyncio.gather(*(submit(store, SECRET) for _ in range(5)))
        for one in stored:
            assert await password_of(store, one.call) == "hunter2"


async def test_no_call_ever_lacks_its_revision(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes that change and change back, while what they were is retired and deleted all the time."""
    monkeypatch.setattr(retention, "REVISION_RETIRED_S", 0.2)
    is_over = False

    async def clean() -> None:
        while not is_over:
            await round_of(store)
            await store.get_database().execute("DELETE FROM calls")
            await asyncio.sleep(0.01)

    async def use(path: str) -> None:
        for turn in range(30):
            route = replace(SECRET if turn % 3 else PUBLIC, path=path)
            revision = RouteRevision.of(APP, route)
            call = replace(a_call(), id=new_id(), path=path, route_revision=revision.id)
            await store.submit_calls([Submission(call=call, revision=revision)])
            lacking = await store.get_database().fetchval(
                "SELECT count(*) FROM calls WHERE NOT EXISTS"
                " (SELECT FROM route_revisions WHERE route_revisions.id = route_revision)"
            )
            assert lacking == 0
            await asyncio.sleep(0.03 * (turn % 5))

    cleaning = asyncio.create_task(clean())
    await asyncio.gather(*(use(f"/p{number}") for number in range(4)))
    is_over = True
    await cleaning
