import asyncio

import pytest
from msgspec.structs import replace

from common.models import App, Call, CallStatus, Detail, Reason, new_id
from common.store.base import ClaimRequest
from common.store.postgres import PostgresStore
from common.store.runs import INLINE_PAYLOAD_BYTES
from tests.conformance.store.samples import (
    EVERY_BYTE,
    MAX_ATTEMPTS,
    NOW,
    REVISION,
    a_call,
    claim,
    fall_due,
    request_cancel,
    row_of,
    settle,
    submit,
    until_blocked,
)


def requests(*calls_and_tokens: tuple[Call, int]) -> list[ClaimRequest]:
    return [ClaimRequest(id=call.id, token=token) for call, token in calls_and_tokens]


async def test_the_largest_token_is_that_of_an_unfinished_call(store: PostgresStore) -> None:
    assert await store.largest_token() == 0
    running, released, done, waiting = (a_call() for _ in range(4))
    await submit(store, running, released, done, waiting)
    assert await store.largest_token() == 0
    for call, token in ((running, 5), (released, 2**52), (done, 2**53)):
        await claim(store, call, token)
    await settle(store, done, 2**53)
    await store.release([ClaimRequest(id=released.id, token=2**52)], give_back_attempt=False)
    assert await store.largest_token() == 2**52


async def test_a_claim_takes_the_call_over(store: PostgresStore) -> None:
    call, incarnation = a_call(payload=EVERY_BYTE), new_id()
    await submit(store, call)
    claimed = await claim(store, call, 7, incarnation)
    assert claimed is not None
    assert claimed.token == 7
    row = await row_of(store, call)
    assert (row["token"], row["incarnation"], row["status"]) == (7, incarnation, "running")
    shown = await store.get_call("app", call.id)
    assert (shown.status, shown.attempt, shown.started_at) == (CallStatus.RUNNING, 1, None)
    assert shown.claimed_at is not None


async def test_a_claimed_call_has_all_that_its_run_needs(store: PostgresStore) -> None:
    call = a_call(payload=EVERY_BYTE, headers={"X-Many": ["1", "2"], "Empty": []})
    await submit(store, call)
    claimed = await claim(store, call, 1)
    assert claimed is not None
    run = claimed.call
    assert run.payload == EVERY_BYTE
    assert (run.method, run.url, run.headers) == (call.method, call.url, call.headers)
    for name in (
        *("image", "format", "timeout", "idle_timeout", "memory", "base_env", "writable_root", "type"),
        *("json_framing", "body_encoding", "network"),
    ):
        assert getattr(run, name) == getattr(REVISION, name)
    assert run.route_revision == REVISION.id


async def test_a_calls_own_time_limit_counts_instead_of_its_routes(store: PostgresStore) -> None:
    own, routes = replace(a_call(), timeout=3600), a_call()
    await submit(store, own, routes)
    assert (await store.get_call("app", own.id)).timeout == 3600
    assert (await store.get_call("app", routes.id)).timeout == 0
    claimed = await store.claim(requests((own, 1), (routes, 2)), new_id(), MAX_ATTEMPTS)
    assert [answer.call.timeout for answer in claimed] == [3600, REVISION.timeout]


@pytest.mark.parametrize(
    ("size", "inline"), [(INLINE_PAYLOAD_BYTES, True), (INLINE_PAYLOAD_BYTES + 1, False)]
)
async def test_a_large_payload_is_left_for_later(store: PostgresStore, size: int, inline: bool) -> None:
    call = a_call(payload=b"x" * size)
    await submit(store, call)
    claimed = await claim(store, call, 1)
    assert claimed is not None
    assert claimed.call.payload == (call.payload if inline else None)
    assert await store.get_payload(call.id) == call.payload


async def test_claims_answer_in_the_order_of_the_requests(store: PostgresStore) -> None:
    calls = [a_call() for _ in range(20)]
    calls.sort(key=lambda call: call.id.int % 1000)
    await submit(store, *calls)
    claimed = await store.claim(requests(*((call, 1) for call in calls)), new_id(), MAX_ATTEMPTS)
    assert [answer.call.id for answer in claimed] == [call.id for call in calls]


async def test_delayed_and_due_calls_can_be_claimed(store: PostgresStore) -> None:
    early, due = a_call(delay=60), a_call(delay=60)
    await submit(store, early, due)
    await fall_due(store, [due])
    for call in (early, due):
        claimed = await claim(store, call, 1)
        assert claimed is not None
        assert claimed.call.status is CallStatus.RUNNING


async def test_only_a_newer_token_takes_a_running_call(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    first = await claim(store, call, 5)
    assert first is not None
    await store.mark_started(call.id, 5, NOW)
    for token in (4, 5):
        assert await claim(store, call, token) is None
    second = await claim(store, call, 6)
    assert second is not None
    assert (second.call.attempt, second.call.started_at) == (2, None)


async def test_unknown_and_final_calls_are_missing_from_the_answer(store: PostgresStore) -> None:
    done, unknown, waiting = a_call(), a_call(), a_call()
    await submit(store, done, waiting)
    await claim(store, done, 1)
    await settle(store, done, 1)
    claimed = await store.claim(requests((done, 2), (unknown, 3), (waiting, 4)), new_id(), MAX_ATTEMPTS)
    assert [answer.call.id for answer in claimed] == [waiting.id]
    assert (await store.get_call("app", done.id)).status is CallStatus.SUCCESS


async def test_a_call_named_twice_goes_to_the_newer_token(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    claimed = await store.claim(requests((call, 2), (call, 1)), new_id(), MAX_ATTEMPTS)
    assert [(answer.call.id, answer.token, answer.call.attempt) for answer in claimed] == [(call.id, 2, 1)]
    assert (await row_of(store, call))["token"] == 2


async def test_a_call_whose_cancellation_was_requested_is_settled_by_the_claim(
    store: PostgresStore, app: App
) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await request_cancel(store, call)
    claimed = await claim(store, call, 2)
    assert claimed is not None
    assert (claimed.call.status, claimed.call.reason) == (CallStatus.CANCELLED, Reason.CLIENT_REQUEST)
    assert claimed.call.completed_at is not None
    assert (claimed.call.attempt, claimed.call.payload) == (1, None)
    assert await claim(store, call, 3) is None
    assert not await settle(store, call, 1)


async def test_a_call_out_of_attempts_is_settled_by_the_claim(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    for token in range(1, MAX_ATTEMPTS + 1):
        claimed = await claim(store, call, token)
        assert claimed is not None
        assert (claimed.call.status, claimed.call.attempt) == (CallStatus.RUNNING, token)
    last = await claim(store, call, MAX_ATTEMPTS + 1)
    assert last is not None
    assert (last.call.status, last.call.reason) == (CallStatus.ERROR, Reason.KILLED)
    assert (last.call.detail, last.call.attempt) == (Detail.TOO_MANY_ATTEMPTS, MAX_ATTEMPTS)
    assert last.call.error
    assert last.call.completed_at is not None
    assert await claim(store, call, MAX_ATTEMPTS + 2) is None


async def test_of_claims_that_meet_the_newest_token_keeps_the_call(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR UPDATE", call.id)
        claims = [asyncio.create_task(claim(store, call, token)) for token in (3, 1, 2)]
        await until_blocked(store, 3)
    answers = [answer for answer in await asyncio.gather(*claims) if answer is not None]
    row = await row_of(store, call)
    assert (row["token"], row["attempt"]) == (3, len(answers))
    assert max(answer.token for answer in answers) == 3
    assert sorted(answer.call.attempt for answer in answers) == list(range(1, len(answers) + 1))


async def test_a_call_that_ends_while_the_claim_waits_is_not_claimed(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("UPDATE calls SET status = 'cancelled' WHERE id = $1", call.id)
        claiming = asyncio.create_task(claim(store, call, 1))
        await until_blocked(store, 1)
    assert await claiming is None
    assert (await row_of(store, call))["attempt"] == 0


async def test_batches_in_opposite_orders_never_wait_in_a_ring(store: PostgresStore) -> None:
    calls = [a_call() for _ in range(60)]
    await submit(store, *calls)
    for round_no in range(6):
        batches = [
            store.claim(requests(*((call, 10 * round_no + worker) for call in order)), new_id(), 1000)
            for worker, order in enumerate((calls, calls[::-1], calls[30:] + calls[:30]), start=1)
        ]
        await asyncio.gather(*batches)
    assert {(await row_of(store, call))["token"] for call in calls} == {53}


async def test_held_tells_which_calls_run_under_these_tokens(store: PostgresStore) -> None:
    running, older, waiting, done = (a_call() for _ in range(4))
    await submit(store, running, older, waiting, done)
    for call, token in ((running, 5), (older, 5), (done, 5)):
        await claim(store, call, token)
    await settle(store, done, 5)
    asked = requests((running, 5), (older, 4), (waiting, 5), (done, 5), (a_call(), 5))
    assert await store.held(asked) == {running.id}
    assert await store.held([]) == set()


async def test_mark_started_needs_the_token(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await store.mark_started(call.id, 1, NOW)
    await claim(store, call, 5)
    await store.mark_started(call.id, 4, NOW)
    assert (await store.get_call("app", call.id)).started_at is None
    await store.mark_started(call.id, 5, NOW)
    assert (await store.get_call("app", call.id)).started_at == NOW
