from datetime import timedelta
from uuid import UUID

from common.models import QueueEntry, new_id
from common.store.base import ClaimRequest
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import NOW, a_call, claim, fall_due, row_of, settle, submit


async def ids(store: PostgresStore) -> list[UUID]:
    return [entry.id for entry in await store.unfinished(None, 100)]


async def test_waiting_calls_come_in_the_order_of_the_queue(store: PostgresStore) -> None:
    assert await store.unfinished(None, 10) == []
    calls = [a_call(priority=priority) for priority in (0, 2, 1, 2, 0)]
    entries = await submit(store, *calls)
    expected = [entries[place] for place in (1, 3, 2, 0, 4)]
    assert await store.unfinished(None, 10) == expected


async def test_pages_meet_without_gap_or_overlap(store: PostgresStore) -> None:
    calls = [a_call(priority=number % 3) for number in range(25)]
    await submit(store, *calls)
    pages: list[QueueEntry] = []
    while page := await store.unfinished(pages[-1] if pages else None, 4):
        assert len(page) <= 4
        pages += page
    assert [(-entry.priority, entry.order_no) for entry in pages] == sorted(
        (-entry.priority, entry.order_no) for entry in pages
    )
    assert {entry.id for entry in pages} == {call.id for call in calls}
    assert len(pages) == 25


async def test_a_delay_is_what_is_left_of_it(store: PostgresStore) -> None:
    delayed, due = a_call(delay=60), a_call(delay=60)
    await submit(store, delayed, due)
    await fall_due(store, [due])
    left, over = await store.unfinished(None, 10)
    assert 30_000 < left.delay_ms <= 60_000
    assert over.delay_ms == 0


async def test_final_calls_are_left_out(store: PostgresStore) -> None:
    done, waiting = a_call(), a_call()
    await submit(store, done, waiting)
    await claim(store, done, 1)
    await settle(store, done, 1)
    assert await ids(store) == [waiting.id]


async def test_running_calls_belong_in_the_queue_only_without_a_live_worker(store: PostgresStore) -> None:
    call, incarnation = a_call(), new_id()
    await submit(store, call)
    await store.register_worker(incarnation, "host", 2, 1024)
    await claim(store, call, 1, incarnation)
    assert await ids(store) == []
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE workers SET heartbeat_at = now() - interval '21 s'")
    assert await ids(store) == [call.id]
    await store.heartbeat(incarnation)
    assert await ids(store) == []
    await store.remove_worker(incarnation)
    assert await ids(store) == [call.id]


async def test_a_released_call_keeps_its_place(store: PostgresStore) -> None:
    first, second = a_call(), a_call()
    entries = await submit(store, first, second)
    await claim(store, first, 1)
    await store.release([ClaimRequest(id=first.id, token=1)], give_back_attempt=False)
    assert await store.unfinished(None, 10) == entries
    assert (await row_of(store, first))["order_no"] == entries[0].order_no


async def test_only_what_was_created_after_since(store: PostgresStore) -> None:
    calls = [a_call(created_at=NOW + timedelta(microseconds=number)) for number in range(3)]
    await submit(store, *calls)
    found = await store.unfinished(None, 10, since=NOW)
    assert [entry.id for entry in found] == [call.id for call in calls[1:]]
    assert await store.unfinished(found[-1], 10, since=NOW) == []
