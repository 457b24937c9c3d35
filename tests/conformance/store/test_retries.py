import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from common import errors
from common.models import App, Call, CallStatus, QueueEntry, new_id
from common.store.base import FinishedCall
from common.store.postgres import PostgresStore
from common.store.steering import FoundDead, Retried
from tests.conformance.store.samples import (
    EVERY_BYTE,
    MAX_ATTEMPTS,
    NOW,
    REVISION,
    a_call,
    an_outcome,
    claim,
    row_of,
    settle,
    submit,
    until_blocked,
)

TABLES = ("calls", "call_inputs", "call_results", "call_logs")


async def end(store: PostgresStore, *calls: Call) -> None:
    for call in calls:
        await claim(store, call, 1)
        await settle(store, call, 1, an_outcome(result=b"out", log=b"log"))


async def dead(
    store: PostgresStore, count: int, *, app_name: str = "app", payload: bytes = b"in"
) -> list[Call]:
    """Calls that were given up, oldest first, one of them after it had a log and a result."""
    calls = [a_call(app_name=app_name, payload=payload) for _ in range(count)]
    await submit(store, *calls)
    await store.settle_dead([call.id for call in calls])
    return calls


async def requeue(store: PostgresStore, calls: list[Call]) -> list[Retried]:
    return await store.requeue_dead([call.id for call in calls], [new_id() for _ in calls])


async def count(store: PostgresStore, table: str) -> int:
    async with store.get_database().acquire() as connection:
        rows: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
    return rows


async def test_a_retry_is_a_new_call_with_the_same_inputs(store: PostgresStore) -> None:
    old = a_call(delay=60, priority=2, payload=EVERY_BYTE, headers={"X-Many": ["1", "2"]})
    await submit(store, old)
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE calls SET timeout_s = 7")
    await end(store, old)
    before, new_one = await row_of(store, old), new_id()
    entry = await store.retry("app", old.id, new_one)
    assert entry == QueueEntry(
        id=new_one, order_no=before["order_no"] + 1, priority=2, delay_ms=0, memory_mb=REVISION.memory
    )
    assert await row_of(store, old) == before
    new = await store.get_call("app", new_one)
    assert (new.status, new.parent_id, new.delay, new.due_at) == (CallStatus.QUEUED, old.id, 0, None)
    assert (new.attempt, new.type, new.path) == (0, "async", "/hello")
    assert new.created_at is not None
    assert new.created_at > NOW
    row = await row_of(store, new)
    assert (row["timeout_s"], row["token"], row["requeued_at"]) == (7, None, None)
    claimed = await claim(store, new, 2)
    assert claimed is not None
    assert claimed.call.payload == EVERY_BYTE
    assert (claimed.call.method, claimed.call.url) == (old.method, old.url)
    assert claimed.call.headers == {"X-Many": ["1", "2"]}
    assert (claimed.call.image, claimed.call.route_revision) == (REVISION.image, REVISION.id)
    assert (await store.get_call("app", old.id)).parent_id is None


async def test_a_call_of_a_deleted_route_is_retried_by_its_revision(store: PostgresStore) -> None:
    old = a_call()  # no route was ever stored
    await submit(store, old)
    await end(store, old)
    entry = await store.retry("app", old.id, new_id())
    claimed = await claim(store, replace(old, id=entry.id), 2)
    assert claimed is not None
    assert claimed.call.image == REVISION.image


@pytest.mark.parametrize("status", ["queued", "delayed", "running"])
async def test_only_what_has_ended_is_retried(store: PostgresStore, status: str) -> None:
    call = a_call(delay=60 if status == "delayed" else 0)
    await submit(store, call)
    if status == "running":
        await claim(store, call, 1)
    with pytest.raises(errors.CallNotFinalError, match=f"its status is {status}"):
        await store.retry("app", call.id, new_id())
    assert await count(store, "calls") == 1


async def test_a_call_without_inputs_can_not_be_retried(store: PostgresStore, app: App) -> None:
    call = replace(a_call(), type="sync")
    await store.record_finished([FinishedCall(call=call, outcome=an_outcome())])
    with pytest.raises(errors.CallNotRetriableError):
        await store.retry("app", call.id, new_id())
    assert await count(store, "calls") == 1


async def test_only_a_call_of_the_app_is_found(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await end(store, call)
    await store.insert_app(App(name="other"))
    for app_name, call_id in (("other", call.id), ("none", call.id), ("a\0b", call.id), ("app", new_id())):
        with pytest.raises(errors.CallNotFoundError):
            await store.retry(app_name, call_id, new_id())
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.retry("", call.id, new_id())


async def test_a_retry_of_an_app_that_is_being_removed_is_refused_at_once_and_stores_nothing(
    store: PostgresStore,
) -> None:
    call = a_call()
    await submit(store, call)
    await end(store, call)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM apps WHERE name = 'app'")
        async with asyncio.timeout(1):
            with pytest.raises(errors.AppsBeingRemovedError):
                await store.retry("app", call.id, new_id())
    assert await count(store, "calls") == await count(store, "call_inputs") == 1  # the old one's


async def test_a_requeue_leaves_out_what_is_of_an_app_that_is_being_removed(store: PostgresStore) -> None:
    gone, other = await dead(store, 1), await dead(store, 1, app_name="other")
    async with store.get_database().acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("DELETE FROM apps WHERE name = 'app'")
        async with asyncio.timeout(1):
            assert [one.parent_id for one in await requeue(store, gone + other)] == [other[0].id]
        await transaction.rollback()
    assert [call.id for call in await store.get_dead("", None, 10)] == [gone[0].id]
    assert len(await requeue(store, gone)) == 1


async def test_the_dead_are_those_that_were_given_up(store: PostgresStore) -> None:
    given_up = await dead(store, 2)
    at_the_claim, failed, waiting = a_call(), a_call(), a_call()
    await submit(store, at_the_claim, failed, waiting)
    for token in range(1, MAX_ATTEMPTS + 2):
        await claim(store, at_the_claim, token)
    await claim(store, failed, 1)
    await settle(store, failed, 1, an_outcome(CallStatus.ERROR))
    found = await store.get_dead("", None, 10)
    newest_first = [at_the_claim.id, *(call.id for call in reversed(given_up))]
    assert [call.id for call in found] == newest_first
    assert found[0] == await store.get_call("app", at_the_claim.id)
    assert [call.id for call in await store.get_dead("", None, 2)] == newest_first[:2]
    assert [call.id for call in await store.get_dead("", newest_first[1], 2)] == newest_first[2:]


async def test_the_dead_of_an_app(store: PostgresStore) -> None:
    ours, others = await dead(store, 2), await dead(store, 2, app_name="other")
    assert [call.id for call in await store.get_dead("app", None, 10)] == [call.id for call in ours[::-1]]
    assert [one.id for one in await store.find_dead("other", 10)] == [call.id for call in others]
    assert [one.id for one in await store.find_dead("", 3)] == [call.id for call in (*ours, others[0])]
    for app_name in ("none", "a\0b"):
        assert await store.get_dead(app_name, None, 10) == []
        assert await store.find_dead(app_name, 10) == []


async def test_what_is_stored_of_the_dead_is_known(store: PostgresStore) -> None:
    small, large = (await dead(store, 1))[0], (await dead(store, 1, payload=b"x" * 100_000))[0]
    await store.insert_log("app", small.id, b"log")
    expected = [FoundDead(id=small.id, stored_bytes=5), FoundDead(id=large.id, stored_bytes=100_000)]
    assert await store.find_dead("", 10) == expected
    assert await store.find_dead_of([large.id, small.id, new_id(), small.id]) == expected


async def test_a_requeued_call_is_dead_no_longer(store: PostgresStore) -> None:
    calls = await dead(store, 3)
    asked = [calls[2], a_call(), calls[0]]
    new_ids = [new_id() for _ in asked]
    requeued = await store.requeue_dead([call.id for call in asked], new_ids)
    assert [(one.parent_id, one.entry.id) for one in requeued] == [
        (calls[0].id, new_ids[2]),
        (calls[2].id, new_ids[0]),
    ]
    assert requeued[0].entry.order_no < requeued[1].entry.order_no
    assert [call.id for call in await store.get_dead("", None, 10)] == [calls[1].id]
    for one in requeued:
        assert (await store.get_call("app", one.entry.id)).parent_id == one.parent_id
        assert await store.get_payload(one.entry.id) == b"in"
    old = await store.get_call("app", calls[0].id)
    assert (old.status, old.detail) == (CallStatus.ERROR, "too_many_attempts")
    assert await requeue(store, [calls[0], calls[2]]) == []
    assert await store.requeue_dead([], []) == []


async def test_whoever_requeues_at_the_same_time_there_is_one_new_call_of_each(store: PostgresStore) -> None:
    calls = await dead(store, 50)
    answers = await asyncio.gather(
        *(requeue(store, calls[::-1] if number % 2 else calls) for number in range(6))
    )
    parents = [one.parent_id for answer in answers for one in answer]
    assert sorted(parents) == [call.id for call in calls]
    assert await count(store, "calls") == 100


async def test_a_second_requeue_waits_for_the_first_and_finds_nothing(store: PostgresStore) -> None:
    (call,) = await dead(store, 1)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls FOR UPDATE")
        requeues = [asyncio.create_task(requeue(store, [call])) for _ in range(2)]
        await until_blocked(store, 2)
    assert sorted(len(found) for found in await asyncio.gather(*requeues)) == [0, 1]


async def test_a_dead_call_that_is_retried_does_not_come_back_twice(store: PostgresStore) -> None:
    (call,) = await dead(store, 1)
    await store.retry("app", call.id, new_id())
    assert await store.get_dead("", None, 10) == []
    assert await requeue(store, [call]) == []
    await store.retry("app", call.id, new_id())  # a client may want it as often as it likes
    assert await count(store, "calls") == 3


async def test_purging_deletes_the_dead_with_all_that_is_kept_of_them(store: PostgresStore) -> None:
    doomed, kept = await dead(store, 2), await dead(store, 1)
    done = a_call()
    await submit(store, done)
    await end(store, done)
    for call in doomed:
        await store.insert_log("app", call.id, b"log")
    before = {table: await count(store, table) for table in TABLES}
    asked: list[UUID] = [call.id for call in (*doomed, done, a_call())]
    assert await store.purge_dead(asked) == 2
    assert await store.purge_dead(asked) == await store.purge_dead([]) == 0
    after = {table: await count(store, table) for table in TABLES}
    assert {table: before[table] - after[table] for table in TABLES} == {
        "calls": 2,
        "call_inputs": 2,
        "call_results": 0,
        "call_logs": 2,
    }
    for call in doomed:
        with pytest.raises(errors.CallNotFoundError):
            await store.get_call("app", call.id)
    assert [call.id for call in await store.get_dead("", None, 10)] == [kept[0].id]
    assert await store.get_log("app", done.id) == b"log"


async def test_a_call_is_requeued_or_purged_never_both(store: PostgresStore) -> None:
    calls = await dead(store, 30)
    ids = [call.id for call in calls]
    requeued, purged = await asyncio.gather(requeue(store, calls), store.purge_dead(ids))
    assert len(requeued) + purged == 30
    assert await count(store, "calls") == 2 * len(requeued)
    assert await count(store, "call_inputs") == 2 * len(requeued)
