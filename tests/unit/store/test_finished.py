"""What waits for the store to record it: only what will be recorded, and no more of it than there may be."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import StoreUnavailableError
from common.models import Call, CallStatus, Outcome, new_id
from common.store import finished
from common.store.base import FinishedCall
from common.store.finished import BATCH_MAX_BYTES, MAX_WAITING_BYTES, FinishedRecorder
from tests.polling import eventually

MB = 2**20


class Store:
    """Takes what ended, once it is there, and no more log at a time than it has room for."""

    def __init__(self, room_bytes: int = 2**30) -> None:
        self.room_bytes = room_bytes
        self.is_there = asyncio.Event()
        self.tried: list[Sequence[FinishedCall]] = []
        self.taken: list[FinishedCall] = []

    async def record_finished(self, batch: Sequence[FinishedCall]) -> None:
        self.tried.append(batch)
        if not self.is_there.is_set() or sum(len(done.outcome.log) for done in batch) > self.room_bytes:
            raise StoreUnavailableError
        self.taken += batch


@asynccontextmanager
async def recording_to(store: Store) -> AsyncIterator[FinishedRecorder]:
    recorder = FinishedRecorder(store)  # type: ignore[arg-type]
    try:
        yield recorder
    finally:
        store.is_there.set()
        await recorder.aclose()


def a_call(**fields: Any) -> Call:
    return Call(id=new_id(), **fields)


def a_large_call() -> Call:
    large = "x" * 100_000
    return a_call(payload=bytes(MB), url=large, headers={"X": [large]}, base_env={"X": large})


def an_outcome(**fields: Any) -> Outcome:
    return Outcome(status=CallStatus.SUCCESS, completed_at=datetime.now(UTC), **fields)


def a_large_outcome() -> Outcome:
    return an_outcome(result=bytes(MB), response_headers={"X": ["x" * 100_000]}, log=b"log")


async def test_payloads_and_results_are_not_kept_while_the_store_is_away() -> None:
    store = Store()
    tracemalloc.start()
    try:
        async with recording_to(store) as recorder:
            for _ in range(50):
                recorder.add(a_large_call(), a_large_outcome())
            kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < MB
    assert {done.outcome.log for done in store.taken} == {b"log"}
    assert len(store.taken) == 50


async def test_a_batch_is_bounded_in_bytes_but_for_one_call() -> None:
    store = Store()
    store.is_there.set()
    sizes = [BATCH_MAX_BYTES + 1, *[MB] * 20, 0]
    async with recording_to(store) as recorder:
        for size in sizes:
            recorder.add(a_call(), an_outcome(log=bytes(size)))
    assert [len(done.outcome.log) for done in store.taken] == sizes
    assert [len(batch) for batch in store.tried] == [1, 8, 8, 5]


async def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[object] = []
    monkeypatch.setattr(finished._log, "error", lambda *_, call_id: lost.append(call_id))
    store = Store()
    log = bytes(MB)
    calls = [a_call() for _ in range(MAX_WAITING_BYTES // MB + 3)]
    fitting = calls[:-3]
    async with recording_to(store) as recorder:
        for call in calls:
            recorder.add(call, an_outcome(log=log))
        assert lost == [call.id for call in calls[-3:]]
        store.is_there.set()
        await eventually(lambda: len(store.taken) == len(fitting))
        later = a_call()
        recorder.add(later, an_outcome(log=log))  # there is room again
    assert [done.call.id for done in store.taken] == [call.id for call in [*fitting, later]]


async def test_a_batch_that_takes_too_long_is_written_in_parts_and_the_next_are_full_again() -> None:
    store = Store(room_bytes=10)
    store.is_there.set()
    calls = [a_call() for _ in range(15)]
    async with recording_to(store) as recorder:
        for number, call in enumerate(calls):
            recorder.add(call, an_outcome(log=bytes(9 if number < 3 else 0)))
        await eventually(lambda: len(store.taken) == len(calls))
    assert [done.call.id for done in store.taken] == [call.id for call in calls]
    assert [len(batch) for batch in store.tried] == [15, 7, 3, 1, 2, 1, 2, 4, 7]
