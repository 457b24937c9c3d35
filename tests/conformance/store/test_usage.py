"""What an app has: calls that have not ended, and bytes that are stored of its calls."""

from common.models import CallStatus, new_id
from common.store.base import FinishedCall
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import a_call, an_outcome, claim, settle, submit


async def test_unfinished_calls_are_counted_by_app_up_to_a_limit(store: PostgresStore) -> None:
    calls = [a_call() for _ in range(3)] + [a_call(delay=60)]
    await submit(store, *calls, a_call(app_name="other"))
    assert await store.count_unfinished("app", 10) == 4
    assert await store.count_unfinished("app", 2) == 3
    await claim(store, calls[0], 1)
    assert await store.count_unfinished("app", 10) == 4
    await settle(store, calls[0], 1)
    assert await store.count_unfinished("app", 10) == 3
    assert await store.count_unfinished("nobody", 10) == 0


async def test_stored_bytes_are_those_of_all_that_belongs_to_calls(store: PostgresStore) -> None:
    async def stored() -> int:
        return await store.sum_stored_bytes("app")

    assert await stored() == 0
    call = a_call(payload=b"x" * 1000)
    await submit(store, call, a_call(app_name="other"))
    submitted = await stored()
    assert 1000 + 512 < submitted < 2000
    await claim(store, call, 1)
    for _ in range(2):  # again changes nothing
        await settle(store, call, 1, an_outcome(result=b"x" * 300, log=b"x" * 50))
    assert submitted + 350 <= await stored() < submitted + 450
    retried = (await store.retry("app", call.id, new_id())).id
    assert await stored() >= 2 * submitted + 350
    before = await stored()
    ended = a_call()
    await store.record_finished(
        [FinishedCall(call=ended, outcome=an_outcome(CallStatus.SUCCESS, log=b"x" * 70))]
    )
    assert await stored() == before + 512 + 70
    await store.get_database().execute("DELETE FROM calls WHERE id <> $1", retried)
    assert await stored() == submitted
