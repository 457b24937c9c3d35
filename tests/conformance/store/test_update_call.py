import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from common import errors
from common.models import Call, CallStatus, Reason, new_id
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import NOW, STATS, a_call, fall_due, row_of, submit


async def stored(store: PostgresStore, call: Call) -> Call:
    await submit(store, call)
    return await store.get_call(call.app_name, call.id)


async def test_an_equal_call_is_replaced(store: PostgresStore) -> None:
    old = await stored(store, a_call())
    running = replace(
        old, status=CallStatus.RUNNING, claimed_at=NOW, started_at=NOW + timedelta(microseconds=1)
    )
    await store.update_call(old, running)
    assert await store.get_call("app", old.id) == running
    ended = replace(
        running,
        status=CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail="exit_code",
        error="exit code 3",
        exit_code=3,
        completed_at=NOW + timedelta(seconds=1),
        stats=STATS,
    )
    await store.update_call(running, ended)
    assert await store.get_call("app", old.id) == ended


async def test_what_the_submitter_holds_can_be_compared(store: PostgresStore) -> None:
    call = a_call(delay=60)
    await submit(store, call)
    before = replace(call, status=CallStatus.DELAYED)
    await store.update_call(
        before, replace(before, status=CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST)
    )
    assert (await store.get_call("app", call.id)).status is CallStatus.CANCELLED


async def test_an_unknown_call_is_not_found(store: PostgresStore) -> None:
    old = await stored(store, a_call())
    unknown = replace(old, id=new_id())
    with pytest.raises(errors.CallNotFoundError):
        await store.update_call(unknown, unknown)
    elsewhere = replace(old, app_name="other")
    with pytest.raises(errors.CallNotFoundError):
        await store.update_call(elsewhere, elsewhere)


async def test_ids_must_be_equal(store: PostgresStore) -> None:
    old = await stored(store, a_call())
    with pytest.raises(errors.DatastoreCannotUpdateCallError):
        await store.update_call(old, replace(old, id=new_id(), status=CallStatus.RUNNING))


@pytest.mark.parametrize(
    "differ",
    [
        lambda call: replace(call, status=CallStatus.RUNNING),
        lambda call: replace(call, status=CallStatus.DELAYED),
        lambda call: replace(call, path="/other"),
        lambda call: replace(call, detail="x"),
        lambda call: replace(call, error="x"),
        lambda call: replace(call, exit_code=0),
        lambda call: replace(call, attempt=1),
        lambda call: replace(call, created_at=call.created_at + timedelta(microseconds=1)),
        lambda call: replace(call, created_at=None),
        lambda call: replace(call, claimed_at=NOW),
        lambda call: replace(call, started_at=NOW),
        lambda call: replace(call, completed_at=NOW),
        lambda call: replace(call, stats=STATS),
    ],
)
async def test_a_different_call_is_left_alone(store: PostgresStore, differ: Callable[[Call], Call]) -> None:
    old = await stored(store, a_call())
    new = replace(old, status=CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST)
    with pytest.raises(errors.DatastoreCannotUpdateCallError):
        await store.update_call(differ(old), new)
    assert await store.get_call("app", old.id) == old


@pytest.mark.parametrize("final", [CallStatus.SUCCESS, CallStatus.ERROR, CallStatus.CANCELLED])
async def test_a_final_call_stays_final(store: PostgresStore, final: CallStatus) -> None:
    old = await stored(store, a_call())
    running = replace(old, status=CallStatus.RUNNING)
    await store.update_call(old, running)
    ended = replace(running, status=final)
    await store.update_call(running, ended)
    for status in set(CallStatus) - {final}:
        with pytest.raises(errors.DatastoreCannotUpdateCallError):
            await store.update_call(ended, replace(ended, status=status))
    assert await store.get_call("app", old.id) == ended


async def test_a_reason_must_go_with_the_new_status(store: PostgresStore) -> None:
    old = await stored(store, a_call())
    for status, reason in (
        (CallStatus.CANCELLED, Reason.TIMEOUT),
        (CallStatus.ERROR, Reason.CLIENT_REQUEST),
        (CallStatus.RUNNING, Reason.KILLED),
    ):
        with pytest.raises(errors.DatastoreCannotUpdateCallError):
            await store.update_call(old, replace(old, status=status, reason=reason))


async def test_a_due_call_compares_as_queued_and_as_the_delayed_one_it_was(store: PostgresStore) -> None:
    seen_before, seen_after = [await stored(store, a_call(delay=60)) for _ in range(2)]
    await fall_due(store, [seen_before, seen_after])
    seen_after = await store.get_call("app", seen_after.id)
    assert (seen_before.status, seen_after.status) == (CallStatus.DELAYED, CallStatus.QUEUED)
    for old in (seen_before, seen_after):
        await store.update_call(old, replace(old, status=CallStatus.CANCELLED))
        assert (await row_of(store, old))["status"] == "cancelled"


async def test_a_call_that_is_not_due_is_not_queued(store: PostgresStore) -> None:
    old = await stored(store, a_call(delay=60))
    with pytest.raises(errors.DatastoreCannotUpdateCallError):
        await store.update_call(
            replace(old, status=CallStatus.QUEUED), replace(old, status=CallStatus.RUNNING)
        )


async def test_of_concurrent_updates_exactly_one_wins(store: PostgresStore) -> None:
    for _ in range(5):
        old = await stored(store, a_call())
        rivals = [replace(old, status=CallStatus.RUNNING, error=f"rival {number}") for number in range(8)]
        answers = await asyncio.gather(
            *(store.update_call(old, rival) for rival in rivals), return_exceptions=True
        )
        winners = [rival for rival, answer in zip(rivals, answers, strict=True) if answer is None]
        assert winners == [await store.get_call("app", old.id)]
        losers = {type(answer) for answer in answers if answer is not None}
        assert losers == {errors.DatastoreCannotUpdateCallError}


async def test_text_that_cannot_be_stored_is_replaced(store: PostgresStore) -> None:
    old = await stored(store, a_call())
    await store.update_call(old, replace(old, status=CallStatus.ERROR, error="a\0b"))
    assert (await store.get_call("app", old.id)).error == "a\ufffdb"
