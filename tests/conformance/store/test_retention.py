from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from common.errors import CallNotFoundError, CallResultNotFoundError
from common.models import Call, CallStatus
from common.settings import Settings
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import a_call, an_outcome, claim, settle, submit, unfinished

EVER = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = ("calls", "call_inputs", "call_results", "call_logs")


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, calls_keep_days=3, results_keep_days=2, logs_keep_days=1)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(settings)
    yield store
    await store.aclose()


async def ended(store: PostgresStore, *days_ago: float) -> list[Call]:
    """Calls that ended so long ago."""
    calls = [a_call() for _ in days_ago]
    await submit(store, *calls)
    for token, call in enumerate(calls, start=1):
        await claim(store, call, token)
        await settle(store, call, token, an_outcome(log=b"log", result=b"result"))
    await store.get_database().executemany(
        "UPDATE calls SET completed_at = now() - make_interval(secs => $2) WHERE id = $1",
        [(call.id, ago * 86400) for call, ago in zip(calls, days_ago, strict=True)],
    )
    return calls


async def rows(store: PostgresStore) -> list[int]:
    return [await store.get_database().fetchval(f"SELECT count(*) FROM {table}") for table in TABLES]  # noqa: S608


async def test_calls_go_with_all_that_belongs_to_them_the_oldest_first(store: PostgresStore) -> None:
    young, old, older, oldest = await ended(store, 2.9, 3.1, 4, 5)
    assert await store.prune_calls(2) == 2
    assert await rows(store) == [2] * 4
    for gone in (older, oldest):
        with pytest.raises(CallNotFoundError):
            await store.get_call("app", gone.id)
    assert await store.prune_calls(2) == 1
    with pytest.raises(CallNotFoundError):
        await store.get_call("app", old.id)
    assert await store.prune_calls(2) == 0
    assert (await store.get_call("app", young.id)).status is CallStatus.SUCCESS
    assert await rows(store) == [1] * 4


async def test_a_call_that_has_not_ended_stays_however_old_it_is(store: PostgresStore) -> None:
    waiting, running = a_call(), a_call()
    entries = await submit(store, waiting, running)
    await claim(store, running, 1)
    await store.get_database().execute(
        "UPDATE calls SET created_at = '2001-01-01', completed_at = '2001-01-01'"
    )
    assert await store.prune_calls(10) == 0
    assert await unfinished(store) == entries


async def test_a_call_that_somebody_has_locked_is_passed_over(store: PostgresStore) -> None:
    first, _ = await ended(store, 5, 4)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR UPDATE", first.id)
        assert await store.prune_calls(10) == 1
    assert await store.prune_calls(10) == 1


async def test_results_and_logs_may_go_before_their_calls(store: PostgresStore) -> None:
    young, middle, old = await ended(store, 0.9, 1.5, 2.5)
    pruned = await store.prune_results(EVER, 10)
    assert (pruned.count, pruned.ended_to) == (1, (await store.get_call("app", old.id)).completed_at)
    with pytest.raises(CallResultNotFoundError):
        await store.get_result("app", old.id)
    assert (await store.get_result("app", middle.id)).body == b"result"
    pruned = await store.prune_logs(EVER, 10)
    assert (pruned.count, pruned.ended_to) == (2, (await store.get_call("app", middle.id)).completed_at)
    assert await store.get_log("app", young.id) == b"log"
    assert await rows(store) == [3, 3, 2, 1]


async def test_batches_go_on_where_the_last_one_ended(store: PostgresStore) -> None:
    calls = await ended(store, *(2 + number / 100 for number in range(1, 6)))
    await store.get_database().execute(
        "UPDATE calls SET completed_at = (SELECT completed_at FROM calls WHERE id = $1) WHERE id = $2",
        *(calls[3].id, calls[2].id),
    )
    after, counts = EVER, []
    while (pruned := await store.prune_results(after, 2)).ended_to is not None:
        counts.append(pruned.count)
        assert pruned.ended_to > after
        after = pruned.ended_to
    assert counts == [3, 2], "two of them ended at the same instant"
    assert pruned.count == 0
    assert (await rows(store))[2] == 0


async def test_what_is_pruned_does_not_count_as_stored_any_more(store: PostgresStore) -> None:
    await ended(store, 2.5)
    before = await store.sum_stored_bytes("app")
    for _ in range(2):  # again changes nothing
        await store.prune_results(EVER, 10)
        await store.prune_logs(EVER, 10)
    freed = before - await store.sum_stored_bytes("app")
    assert len(b"result") + len(b"log") <= freed < 50
