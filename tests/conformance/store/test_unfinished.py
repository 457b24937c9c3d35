import asyncio
from uuid import UUID

import pytest

from common.models import QueueEntry, new_id
from common.store import backlog
from common.store.base import ClaimRequest
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import a_call, claim, fall_due, row_of, settle, submit, unfinished


async def ids(store: PostgresStore) -> list[UUID]:
    return [entry.id for entry in await unfinished(store)]


async def test_waiting_calls_come_in_the_order_of_the_queue(store: PostgresStore) -> None:
    assert await unfinished(store) == []
    calls = [a_call(priority=priority) for priority in (0, 2, 1, 2, 0)]
    entries = await submit(store, *calls)
    expected = [entries[place] for place in (1, 3, 2, 0, 4)]
    assert await unfinished(store) == expected


async def test_pages_meet_without_gap_or_overlap(store: PostgresStore) -> None:
    calls = [a_call(priority=number % 3) for number in range(25)]
    await submit(store, *calls)
    pages = await unfinished(store, page_calls=4)
    assert [(-entry.priority, entry.order_no) for entry in pages] == sorted(
        (-entry.priority, entry.order_no) for entry in pages
    )
    assert {entry.id for entry in pages} == {call.id for call in calls}
    assert len(pages) == 25


async def test_a_delay_is_what_is_left_of_it(store: PostgresStore) -> None:
    delayed, due = a_call(delay=60), a_call(delay=60)
    await submit(store, delayed, due)
    await fall_due(store, [due])
    left, over = await unfinished(store)
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
    assert await unfinished(store) == entries
    assert (await row_of(store, first))["order_no"] == entries[0].order_no


async def test_only_what_is_newer(store: PostgresStore) -> None:
    entries = await submit(store, *[a_call(priority=number % 2) for number in range(6)])
    found = await unfinished(store, after=entries[2].order_no)
    assert found == [entries[3], entries[5], entries[4]]


async def test_calls_without_a_live_worker_are_found_without_a_look_at_the_others(
    store: PostgresStore,
) -> None:
    alive, dead = new_id(), new_id()
    await store.register_worker(alive, "host", 2, 1024)
    calls = [a_call(priority=number % 3) for number in range(7)]
    entries = await submit(store, *calls)
    for token, call in enumerate(calls[:5], start=1):
        await claim(store, call, token, alive if token == 1 else dead)
    assert await pages_of_unleased(store, []) == [entries[2], entries[1], entries[4], entries[3]]
    assert set(await store.running(10)) == {call.id for call in calls[:5]}
    assert len(await store.running(3)) == 3


async def test_calls_adrift_are_found_once_they_wait_again(store: PostgresStore) -> None:
    alive = new_id()
    await store.register_worker(alive, "host", 2, 1024)
    given_back, delayed, done, held, _never = calls = [a_call() for _ in range(5)]
    entries = await submit(store, *calls)
    for token, call in enumerate(calls[:4], start=1):
        await claim(store, call, token, alive)
    adrift = await store.running(10)
    assert await pages_of_unleased(store, adrift) == []
    await store.release([ClaimRequest(id=given_back.id, token=1)], give_back_attempt=True)
    await store.release([ClaimRequest(id=delayed.id, token=2)], give_back_attempt=False, delay_ms=90_000)
    await settle(store, done, 3)
    first, second = await pages_of_unleased(store, adrift)
    assert first == entries[0]
    assert second.id == delayed.id
    assert 80_000 < second.delay_ms <= 90_000
    assert await store.still_running(adrift) == [held.id]


async def pages_of_unleased(store: PostgresStore, adrift: list[UUID]) -> list[QueueEntry]:
    found: list[QueueEntry] = []
    while page := await store.unleased(adrift, found[-1] if found else None, 2):
        assert len(page) <= 2
        found += page
    return found


async def test_waiting_calls_are_counted(store: PostgresStore) -> None:
    calls = [a_call(), a_call(delay=60), a_call(), a_call()]
    await submit(store, *calls)
    await claim(store, calls[2], 1)
    await claim(store, calls[3], 2)
    await settle(store, calls[3], 2)
    assert await store.count_waiting() == 2


async def test_an_order_no_is_settled_when_all_that_were_writing_have_ended(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await submit(store, a_call())
    assert await store.settled_order_no() == first.order_no
    late = a_call()
    async with store.get_database().acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO calls (id, app_name, path, type, status, priority, delay_s, memory_mb, route_revision,"
            " created_at) VALUES ($1, 'app', '/p', 'async', 'queued', 0, 0, 1, '', now())",
            late.id,
        )
        (second,) = await submit(store, a_call())
        monkeypatch.setattr(backlog, "SETTLING_S", 0.1)
        assert await store.settled_order_no() is None
        monkeypatch.setattr(backlog, "SETTLING_S", 30)
        settled = asyncio.create_task(store.settled_order_no())
        assert await ids(store) == [first.id, second.id]
        await transaction.commit()
    assert await settled == second.order_no
    assert (await ids(store))[1] == late.id


async def test_whoever_only_reads_calls_delays_nobody(store: PostgresStore) -> None:
    (entry,) = await submit(store, a_call())
    async with (
        store.get_database().acquire() as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        await connection.execute("SELECT FROM calls")
        assert await store.settled_order_no() == entry.order_no
