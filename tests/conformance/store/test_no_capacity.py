"""Calls that no live worker is large enough for are ended; all others are left alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from common.models import Call, CallStatus, Reason, new_id
from common.store.base import ClaimRequest
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import a_call, claim, fall_due, submit

SMALL_MB = 1024
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


def large(**fields: int | datetime) -> Call:
    return replace(a_call(created_at=LONG_AGO), memory=SMALL_MB + 1, **fields)


async def ended(store: PostgresStore, limit: int = 100) -> set[UUID]:
    return set(await store.settle_no_capacity(SMALL_MB, limit))


@pytest.fixture
async def worker(store: PostgresStore) -> UUID:
    incarnation = new_id()
    await store.register_worker(incarnation, "host", 2, SMALL_MB)
    return incarnation


async def test_what_is_too_large_ends_once_and_says_why(store: PostgresStore, worker: UUID) -> None:
    call, fits = large(), replace(large(), memory=SMALL_MB)
    await submit(store, call, fits)
    assert await ended(store) == {call.id}
    assert await ended(store) == set()
    found = await store.get_call("app", call.id)
    assert (found.status, found.reason, found.detail) == (CallStatus.ERROR, Reason.KILLED, "no_capacity")
    assert found.error == "No worker has 1025 MB of memory: the largest has 1024 MB"
    assert found.completed_at is not None
    assert (await store.get_call("app", fits.id)).status is CallStatus.QUEUED


async def test_it_has_to_be_due_for_the_grace_time(store: PostgresStore, worker: UUID) -> None:
    young = large(created_at=datetime.now(UTC) - timedelta(seconds=290))
    delayed, just_due, long_due = (large(delay=60) for _ in range(3))
    await submit(store, young, delayed, just_due, long_due)
    await fall_due(store, [just_due])
    async with store.get_database().acquire() as connection:
        await connection.execute(
            "UPDATE calls SET due_at = now() - interval '301 s' WHERE id = $1", long_due.id
        )
    assert await ended(store) == {long_due.id}


async def test_running_calls_are_left_alone_and_released_ones_are_not(
    store: PostgresStore, worker: UUID
) -> None:
    running, released = large(), large()
    await submit(store, running, released)
    for call in (running, released):
        await claim(store, call, 1)
    await store.release([ClaimRequest(id=released.id, token=1)], give_back_attempt=False)
    assert await ended(store) == {released.id}


async def test_only_live_workers_count_and_without_any_nothing_ends(store: PostgresStore) -> None:
    call = large()
    await submit(store, call)
    assert await store.largest_worker_mb() is None
    assert await store.live_slots() == 0
    assert await ended(store) == set()
    small, big = new_id(), new_id()
    await store.register_worker(small, "host", 2, SMALL_MB)
    await store.register_worker(big, "host", 2, 2 * SMALL_MB)
    assert await store.largest_worker_mb() == 2 * SMALL_MB
    assert await ended(store) == set()  # it came after the caller had looked
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE workers SET heartbeat_at = now() - interval '21 s'")
    assert await store.largest_worker_mb() is None
    assert await ended(store) == set()
    await store.heartbeat(small)
    assert await store.largest_worker_mb() == SMALL_MB
    assert (
        await store.settle_no_capacity(2 * SMALL_MB, 100) == []
    )  # a larger one was there when the caller looked
    assert await ended(store) == {call.id}


async def test_batches_are_bounded_and_two_at_once_share_them(store: PostgresStore, worker: UUID) -> None:
    calls = [large() for _ in range(25)]
    await submit(store, *calls)
    assert len(await ended(store, limit=5)) == 5
    parts = await asyncio.gather(*(ended(store) for _ in range(4)))
    assert sum(map(len, parts)) == len(set().union(*parts)) == 20


async def test_calls_that_are_final_or_unknown_have_ended(store: PostgresStore, worker: UUID) -> None:
    gone, waiting, running, unknown = large(), a_call(), a_call(), new_id()
    await submit(store, gone, waiting, running)
    await ended(store)
    await claim(store, running, 1)
    assert await store.ended([gone.id, waiting.id, running.id, unknown]) == {gone.id, unknown}
