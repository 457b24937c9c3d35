import asyncio
import random

import pytest

from common import errors
from common.models import App, CallStatus, Detail, Reason, new_id
from common.store.base import ClaimRequest
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import (
    a_call,
    an_outcome,
    claim,
    fall_due,
    request_cancel,
    row_of,
    settle,
    submit,
    unfinished,
    until_blocked,
)

CANCELLED = (CallStatus.CANCELLED, Reason.CLIENT_REQUEST)


async def test_what_waits_ends_at_once(store: PostgresStore) -> None:
    calls = queued, delayed, due = a_call(), a_call(delay=60), a_call(delay=60)
    await submit(store, *calls)
    await fall_due(store, [due])
    for call in calls:
        cancelled = await store.cancel("app", call.id)
        assert (cancelled.status, cancelled.reason) == CANCELLED
        assert cancelled.completed_at is not None
        assert cancelled == await store.get_call("app", call.id)
        assert await claim(store, call, 1) is None
    assert await unfinished(store) == []
    assert (queued.delay, delayed.delay) == (0, 60)


async def test_of_what_runs_the_end_is_noted_once(store: PostgresStore) -> None:
    call, other = a_call(), a_call()
    await submit(store, call, other)
    for one in (call, other):
        await claim(store, one, 1)
    requests = [ClaimRequest(id=one.id, token=1) for one in (call, other)]
    assert await store.cancel_requested(requests) == set()
    assert (await store.cancel("app", call.id)).status is CallStatus.RUNNING
    noted = await row_of(store, call)
    assert noted["cancel_requested_at"] is not None
    assert (await store.cancel("app", call.id)).status is CallStatus.RUNNING
    assert await row_of(store, call) == noted
    assert await store.cancel_requested(requests) == {call.id}
    assert await store.cancel_requested([ClaimRequest(id=call.id, token=2)]) == set()
    assert await store.held(requests) == {call.id, other.id}


async def test_its_worker_ends_it_with_its_log(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await store.cancel("app", call.id)
    outcome = an_outcome(CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST, log=b"so far")
    assert await settle(store, call, 1, outcome)
    ended = await store.get_call("app", call.id)
    assert (ended.status, ended.reason) == CANCELLED
    assert await store.get_log("app", call.id) == b"so far"


@pytest.mark.parametrize("status", ["success", "error", "cancelled"])
async def test_what_is_final_stays_and_says_how_it_ended(store: PostgresStore, status: str) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await settle(store, call, 1, an_outcome(CallStatus(status)))
    before = await row_of(store, call)
    with pytest.raises(errors.CallIsFinalError, match=f"its status is {status}"):
        await store.cancel("app", call.id)
    assert await row_of(store, call) == before


async def test_only_a_call_of_the_app_is_found(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await store.insert_app(App(name="other"))
    for app_name, call_id in (("other", call.id), ("none", call.id), ("a\0b", call.id), ("app", new_id())):
        with pytest.raises(errors.CallNotFoundError):
            await store.cancel(app_name, call_id)
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.cancel("", call.id)
    assert (await store.get_call("app", call.id)).status is CallStatus.QUEUED


async def test_a_claim_that_waits_for_a_cancel_finds_it_done(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls FOR UPDATE")
        cancelling = asyncio.create_task(store.cancel("app", call.id))
        await until_blocked(store, 1)
        claiming = asyncio.create_task(claim(store, call, 1))
        await until_blocked(store, 2)
    assert (await cancelling).status is CallStatus.CANCELLED
    assert await claiming is None


async def test_a_cancel_that_waits_for_a_claim_finds_a_run(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls FOR UPDATE")
        claiming = asyncio.create_task(claim(store, call, 1))
        await until_blocked(store, 1)
        cancelling = asyncio.create_task(store.cancel("app", call.id))
        await until_blocked(store, 2)
    assert await claiming is not None
    assert (await cancelling).status is CallStatus.RUNNING
    assert (await row_of(store, call))["cancel_requested_at"] is not None


async def test_cancels_race_with_claims_and_settles_to_one_end(store: PostgresStore) -> None:
    """Each call is cancelled, claimed and settled at once; whoever wins, nothing runs that was cancelled before."""

    async def race() -> str:
        call = a_call()
        await submit(store, call)

        async def worker() -> bool:
            await asyncio.sleep(random.random() * 0.002)
            claimed = await claim(store, call, 1)
            return claimed is not None and await settle(store, call, 1)

        async def client() -> CallStatus | None:
            await asyncio.sleep(random.random() * 0.006)
            try:
                return (await store.cancel("app", call.id)).status
            except errors.CallIsFinalError:
                return None

        ran, found = await asyncio.gather(worker(), client())
        ended = await store.get_call("app", call.id)
        if found is CallStatus.CANCELLED:
            assert (ran, ended.status, ended.attempt) == (False, CallStatus.CANCELLED, 0)
        else:
            assert (ran, ended.status, ended.attempt) == (True, CallStatus.SUCCESS, 1)
        return str(found)

    found = [one for _ in range(40) for one in await asyncio.gather(*(race() for _ in range(8)))]
    assert len(set(found)) > 1, "the race was none"


@pytest.mark.parametrize(("delay_ms", "status"), [(0, CallStatus.QUEUED), (60_000, CallStatus.DELAYED)])
async def test_a_run_given_back_after_its_cancel_is_cancelled(
    store: PostgresStore, delay_ms: int, status: CallStatus
) -> None:
    call, other = a_call(), a_call()
    await submit(store, call, other)
    for one in (call, other):
        await claim(store, one, 1)
    await store.cancel("app", call.id)
    requests = [ClaimRequest(id=one.id, token=1) for one in (call, other)]
    await store.release(requests, give_back_attempt=False, delay_ms=delay_ms)
    ended = await store.get_call("app", call.id)
    assert (ended.status, ended.reason) == CANCELLED
    assert ended.completed_at is not None
    assert await claim(store, call, 2) is None
    assert (await store.get_call("app", other.id)).status is status


async def test_a_cancelled_run_that_the_queue_gives_up_on_is_cancelled(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await store.cancel("app", call.id)
    await store.settle_dead([call.id])
    ended = await store.get_call("app", call.id)
    assert (ended.status, ended.reason, ended.detail, ended.error) == (*CANCELLED, "", "")
    assert await store.get_dead("", None, 10) == []


async def test_a_cancelled_run_ends_without_its_worker_once_that_is_dead(store: PostgresStore) -> None:
    calls = alive, stale, gone, wanted = [a_call() for _ in range(4)]
    await submit(store, *calls)
    live, dead = new_id(), new_id()
    for incarnation in (live, dead):
        await store.register_worker(incarnation, "host", 1, 1024)
    for call, incarnation in ((alive, live), (stale, dead), (gone, new_id()), (wanted, new_id())):
        await claim(store, call, 1, incarnation)
    for call in (alive, stale, gone):
        await store.cancel("app", call.id)
    async with store.get_database().acquire() as connection:
        await connection.execute(
            "UPDATE workers SET heartbeat_at = now() - interval '21 s' WHERE incarnation = $1", dead
        )
    ended = [*await store.settle_cancelled(1), *await store.settle_cancelled(10)]
    assert set(ended) == {stale.id, gone.id}
    assert await store.settle_cancelled(10) == []
    for call in (stale, gone):
        found = await store.get_call("app", call.id)
        assert (found.status, found.reason) == CANCELLED
        assert found.completed_at is not None
        assert await claim(store, call, 2) is None
    for call in (alive, wanted):
        assert (await store.get_call("app", call.id)).status is CallStatus.RUNNING


async def test_the_next_claim_ends_a_call_whose_worker_was_lost_with_its_cancel(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await request_cancel(store, call)
    claimed = await claim(store, call, 2)
    assert claimed is not None
    assert (claimed.call.status, claimed.call.detail) == (CallStatus.CANCELLED, "")
    assert claimed.call.detail != Detail.TOO_MANY_ATTEMPTS
    with pytest.raises(errors.CallIsFinalError):
        await store.cancel("app", call.id)
