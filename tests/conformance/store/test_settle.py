import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from common import errors
from common.models import App, CallStatus, Detail, Reason, new_id
from common.store.base import CallResult, ClaimRequest, Settlement
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import (
    EVERY_BYTE,
    MAX_ATTEMPTS,
    NOW,
    STATS,
    a_call,
    an_outcome,
    claim,
    request_cancel,
    row_of,
    settle,
    submit,
    unfinished,
    until_blocked,
)


async def test_an_outcome_is_recorded_with_result_log_and_stats(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    running = await store.get_call("app", call.id)
    outcome = an_outcome(
        CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail=Detail.EXIT_CODE,
        error="exit code 3",
        exit_code=3,
        result=EVERY_BYTE,
        log=EVERY_BYTE[::-1],
        stats=STATS,
        cold=False,
        response_status=418,
        response_headers={"X-Many": ["1", "2\0"]},
    )
    assert await settle(store, call, 1, outcome)
    assert await store.get_call("app", call.id) == replace(
        running,
        status=CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail="exit_code",
        error="exit code 3",
        exit_code=3,
        stats=STATS,
        cold=False,
        started_at=NOW,
        completed_at=NOW,
    )
    assert await store.get_result("app", call.id) == CallResult(
        status=418, headers={"X-Many": ["1", "2\ufffd"]}, body=EVERY_BYTE, format="default"
    )
    assert await store.get_log("app", call.id) == EVERY_BYTE[::-1]


async def test_settling_again_changes_nothing_and_answers_the_same(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    assert await settle(store, call, 1, an_outcome(result=b"first", log=b"first"))
    before = await row_of(store, call)
    again = an_outcome(CallStatus.ERROR, reason=Reason.KILLED, result=b"second", log=b"second")
    assert await settle(store, call, 1, again)
    assert await row_of(store, call) == before
    assert (await store.get_result("app", call.id)).body == b"first"
    assert await store.get_log("app", call.id) == b"first"


async def test_only_the_token_of_the_row_settles(store: PostgresStore) -> None:
    call, waiting = a_call(), a_call()
    await submit(store, call, waiting)
    await claim(store, call, 5)
    for token in (4, 6):
        assert not await settle(store, call, token)
    assert not await settle(store, waiting, 1)
    assert not await settle(store, a_call(), 1)
    assert (await store.get_call("app", call.id)).status is CallStatus.RUNNING
    with pytest.raises(errors.CallResultNotFoundError):
        await store.get_result("app", call.id)
    with pytest.raises(errors.CallLogNotFoundError):
        await store.get_log("app", call.id)


async def test_a_token_that_was_overtaken_settles_nothing(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await claim(store, call, 2)
    assert not await settle(store, call, 1, an_outcome(result=b"old"))
    assert await settle(store, call, 2, an_outcome(result=b"new"))
    assert not await settle(store, call, 1, an_outcome(result=b"old"))
    assert (await store.get_result("app", call.id)).body == b"new"


async def test_each_of_a_list_is_settled_by_its_own_token(store: PostgresStore) -> None:
    calls = [a_call() for _ in range(10)]
    await submit(store, *calls)
    requests = [ClaimRequest(id=call.id, token=number + 1) for number, call in enumerate(calls)]
    await store.claim(requests, new_id(), MAX_ATTEMPTS)
    settlements = [
        Settlement(
            id=request.id,
            token=request.token - request.token % 2,
            outcome=an_outcome(result=str(request.token).encode()),
        )
        for request in requests
    ]
    even = {request.id for request in requests if request.token % 2 == 0}
    assert await store.settle(settlements[::-1]) == even
    for request in requests:
        if request.id in even:
            assert (await store.get_result("app", request.id)).body == str(request.token).encode()
    assert await store.settle([]) == set()


async def test_an_old_and_a_new_run_of_one_call_in_one_list(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await claim(store, call, 2)
    both = [
        Settlement(id=call.id, token=token, outcome=an_outcome(result=str(token).encode()))
        for token in (1, 2)
    ]
    assert await store.settle(both) == {call.id}
    assert (await store.get_result("app", call.id)).body == b"2"


async def test_a_settlement_that_meets_itself_is_answered_twice(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)

    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR UPDATE", call.id)
        settling = [asyncio.create_task(settle(store, call, 1)) for _ in range(2)]
        await until_blocked(store, 2)
    assert await asyncio.gather(*settling) == [True, True]


async def test_a_run_that_ends_after_its_cancellation_was_requested_has_its_own_outcome(
    store: PostgresStore, app: App
) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await request_cancel(store, call)
    assert await settle(store, call, 1)
    assert (await store.get_call("app", call.id)).status is CallStatus.SUCCESS


async def test_a_run_that_never_began_has_no_start(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    outcome = replace(an_outcome(CallStatus.ERROR, reason=Reason.KILLED), started_at=None)
    assert await settle(store, call, 1, outcome)
    assert (await store.get_call("app", call.id)).started_at is None


async def test_a_run_can_only_end_as_something_final(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    for outcome in (an_outcome(CallStatus.QUEUED), an_outcome(CallStatus.SUCCESS, reason=Reason.KILLED)):
        with pytest.raises(errors.DatastoreCannotUpdateCallError):
            await settle(store, call, 1, outcome)


async def test_a_message_that_cannot_be_stored_is_replaced(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    assert await settle(store, call, 1, an_outcome(CallStatus.ERROR, error="a\0\udcff", detail="\0"))
    assert (await store.get_call("app", call.id)).error == "a\ufffd\ufffd"


async def test_settling_overwrites_an_earlier_log(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await store.insert_log("app", call.id, b"partial")
    assert await settle(store, call, 1)
    assert await store.get_log("app", call.id) == b""


@pytest.mark.parametrize(("give_back", "attempt"), [(True, 1), (False, 2)])
async def test_a_released_call_waits_again(store: PostgresStore, give_back: bool, attempt: int) -> None:
    call = a_call(delay=60)
    await submit(store, call)
    for token in (1, 2):
        await claim(store, call, token)
    await store.mark_started(call.id, 2, NOW)
    await store.release([ClaimRequest(id=call.id, token=2)], give_back_attempt=give_back)
    released = await store.get_call("app", call.id)
    assert (released.status, released.attempt) == (CallStatus.QUEUED, attempt)
    assert (released.claimed_at, released.started_at) == (None, None)
    again = await claim(store, call, 3)
    assert again is not None
    assert again.call.attempt == attempt + 1


async def test_a_call_released_with_a_delay_is_delayed(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await store.release([ClaimRequest(id=call.id, token=1)], give_back_attempt=False, delay_ms=90_000)
    released = await store.get_call("app", call.id)
    assert (released.status, released.attempt) == (CallStatus.DELAYED, 1)
    assert released.due_at is not None
    (entry,) = await unfinished(store)
    assert 80_000 < entry.delay_ms <= 90_000


async def test_a_released_call_is_no_longer_its_tokens(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 5)
    request = ClaimRequest(id=call.id, token=5)
    await store.release([request], give_back_attempt=True)
    assert not await settle(store, call, 5)
    assert await claim(store, call, 5) is None
    await store.release([request], give_back_attempt=True)
    assert (await store.get_call("app", call.id)).attempt == 0


async def test_release_needs_the_token(store: PostgresStore) -> None:
    running, done = a_call(), a_call()
    await submit(store, running, done)
    for call in (running, done):
        await claim(store, call, 5)
    await settle(store, done, 5)
    requests = [ClaimRequest(id=running.id, token=4), ClaimRequest(id=done.id, token=5)]
    await store.release(requests, give_back_attempt=True)
    await store.release([], give_back_attempt=True)
    assert (await store.get_call("app", running.id)).status is CallStatus.RUNNING
    assert (await store.get_call("app", done.id)).status is CallStatus.SUCCESS


async def test_dead_calls_are_settled_whatever_they_wait_for(store: PostgresStore) -> None:
    waiting, delayed, running, done = a_call(), a_call(delay=60), a_call(), a_call()
    await submit(store, waiting, delayed, running, done)
    for call in (running, done):
        await claim(store, call, 1)
    await settle(store, done, 1)
    await store.settle_dead([call.id for call in (waiting, delayed, running, done, a_call())])
    await store.settle_dead([])
    for call in (waiting, delayed, running):
        dead = await store.get_call("app", call.id)
        assert (dead.status, dead.reason) == (CallStatus.ERROR, Reason.KILLED)
        assert dead.detail == Detail.TOO_MANY_ATTEMPTS
        assert dead.error
        assert dead.completed_at is not None
        assert dead.completed_at - NOW > timedelta(0)
    assert (await store.get_call("app", done.id)).status is CallStatus.SUCCESS
