"""What a call writes to stderr is in the store while it runs, also if its worker dies; transitions are announced."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.errors import StoreUnavailableError
from common.models import CallStatus, new_id
from common.store.base import ClaimRequest, LogChunk
from common.store.postgres import PostgresStore
from tests.conformance.queue.test_announcements import listening
from tests.conformance.queue.test_pause import commands_counted
from tests.integration.worker.bench import APP, Bench, child_of
from tests.polling import eventually
from worker.livelogs import CHUNK_BYTES, INTERVAL_S

pytestmark = pytest.mark.timeout(90)


class Write(NamedTuple):
    at_s: float
    chunks: Sequence[LogChunk]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[Write]:
    """The writes of logs of running calls, as they are done."""
    done: list[Write] = []
    extend = PostgresStore.extend_logs

    async def noted(store: PostgresStore, chunks: Sequence[LogChunk]) -> set[UUID]:
        done.append(Write(time.monotonic(), chunks))
        return await extend(store, chunks)

    monkeypatch.setattr(PostgresStore, "extend_logs", noted)
    return done


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, protocol=2) as client:
        yield client


async def shows(bench: Bench, call_id: UUID, log: bytes) -> None:
    """Wait until this is the log so far of a call that runs."""

    async def is_so() -> bool:
        part = await bench.store.get_log_part(APP, call_id, 0, 2**20)
        return part.chunk == log and not part.is_final

    await eventually(is_so, timeout_s=15)


async def test_a_log_grows_while_its_call_runs_and_its_end_writes_it_whole(bench: Bench) -> None:
    script = "echo one >&2; sleep 2; echo two >&2; sleep 2.5; echo three >&2"
    async with bench.worker():
        call_id = await bench.submit(script)
        await shows(bench, call_id, b"one\n")
        await shows(bench, call_id, b"one\ntwo\n")
        marks = await bench.store.get_log_marks(APP, call_id)
        assert [first for first, _ in marks] == [0, 4]
        assert marks[1][1] - marks[0][1] > 1500
        await bench.finished(call_id)
    assert await bench.log(call_id) == "one\ntwo\nthree\n"
    assert (await bench.store.get_log_marks(APP, call_id))[:2] == marks


async def test_a_short_call_writes_its_log_once_with_its_end(bench: Bench, writes: list[Write]) -> None:
    async with bench.worker():
        call_ids = [await bench.submit("echo one >&2; sleep 0.2") for _ in range(4)]
        for call_id in call_ids:
            await bench.finished(call_id)
        quiet = await bench.submit("sleep 2.5")
        await bench.finished(quiet)
    assert writes == []
    assert [await bench.log(call_id) for call_id in call_ids] == ["one\n"] * 4


async def test_a_long_log_is_written_in_chunks_once_a_second(bench: Bench, writes: list[Write]) -> None:
    async with bench.worker():
        call_id = await bench.submit("head -c 200000 /dev/zero >&2; sleep 6; echo end >&2")
        await shows(bench, call_id, bytes(200_000))
        await bench.finished(call_id)
    sizes = [len(chunk.chunk) for write in writes for chunk in write.chunks]
    assert sizes[:4] == [CHUNK_BYTES] * 3 + [200_000 - 3 * CHUNK_BYTES]
    times_s = [write.at_s for write in writes]
    assert all(later - earlier >= INTERVAL_S for earlier, later in itertools.pairwise(times_s))
    assert await bench.log(call_id) == "\0" * 200_000 + "end\n"


async def test_calls_that_run_at_once_share_writes(bench: Bench, writes: list[Write]) -> None:
    script = "i=0; while [ $i -lt 25 ]; do echo $i >&2; sleep 0.2; i=$((i + 1)); done"
    async with bench.worker():
        call_ids = [await bench.submit(script) for _ in range(2)]
        for call_id in call_ids:
            await bench.finished(call_id)
    assert len([write for write in writes if len(write.chunks) == 2]) >= 2
    assert len(writes) <= 7


async def test_a_killed_child_leaves_the_log_so_far(bench: Bench) -> None:
    call_id = await bench.submit("echo last words >&2; sleep 60")
    async with bench.process(lease_s=60, heartbeat_stale_s=60, max_attempts=1) as worker:
        await shows(bench, call_id, b"last words\n")
        os.kill(child_of(worker), signal.SIGKILL)
        call = await bench.finished(call_id)
    assert (call.status, call.detail) == (CallStatus.ERROR, "too_many_attempts")
    assert await bench.log(call_id) == "last words\n"


async def test_the_log_of_the_next_attempt_takes_the_place_of_the_last(bench: Bench) -> None:
    script = 'echo attempt $FN_ATTEMPT, some more >&2; [ "$FN_ATTEMPT" = 1 ] && sleep 60; echo done >&2'
    call_id = await bench.submit(script)
    async with bench.process(lease_s=60, heartbeat_stale_s=60) as worker:
        await shows(bench, call_id, b"attempt 1, some more\n")
        first = await bench.store.get_log_part(APP, call_id, 0, 10)
        os.kill(child_of(worker), signal.SIGKILL)
        await bench.finished(call_id)
    assert await bench.log(call_id) == "attempt 2, some more\ndone\n"
    second = await bench.store.get_log_part(APP, call_id, 0, 10)
    assert first.begun_at_ms != second.begun_at_ms


async def test_a_worker_that_was_superseded_writes_no_more(bench: Bench, writes: list[Write]) -> None:
    call_id = await bench.submit("echo one >&2; sleep 3; echo two >&2; sleep 60")
    async with bench.worker(drain_s=0.1, lease_s=60) as worker:
        await shows(bench, call_id, b"one\n")
        (run,) = worker.runs.all()
        await bench.store.claim([ClaimRequest(id=call_id, token=run.token + 1)], new_id(), 5)
        await eventually(lambda: len(writes) == 2)
        assert (await bench.store.get_log_part(APP, call_id, 0, 99)).chunk == b"one\n"
        await eventually(lambda: not worker.live_logs._growing)  # the write is noted before it is refused


async def test_a_store_that_is_away_gets_the_log_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = asyncio.Event()

    async def away(_store: PostgresStore, _chunks: Sequence[LogChunk]) -> set[UUID]:
        refused.set()
        raise StoreUnavailableError from TimeoutError()

    async with bench.worker(drain_s=0.1):
        with monkeypatch.context() as patch:
            patch.setattr(PostgresStore, "extend_logs", away)
            call_id = await bench.submit("echo one >&2; sleep 60")
            async with asyncio.timeout(20):
                await refused.wait()
        await shows(bench, call_id, b"one\n")


@asynccontextmanager
async def heard_of(bench: Bench, admin: Redis) -> AsyncIterator[list[UUID]]:
    """The announcements meanwhile, and those that are still under way at the end."""
    async with listening(bench.queue, admin) as heard:
        ids: list[UUID] = []
        yield ids
        last = new_id()
        await bench.queue.announce([last])
        async with asyncio.timeout(5):
            while (call_id := await heard.get()) != last:
                ids.append(call_id)


async def test_claim_and_end_of_a_call_are_announced(bench: Bench, admin: Redis) -> None:
    async with heard_of(bench, admin) as ids, bench.worker():
        call_id = await bench.submit("true")
        await bench.finished(call_id)
    assert ids == [call_id] * 2


async def test_what_is_given_back_and_what_is_logged_is_announced(bench: Bench, admin: Redis) -> None:
    async with heard_of(bench, admin) as ids, bench.worker(drain_s=0.1):
        call_id = await bench.submit("echo one >&2; sleep 60")
        await shows(bench, call_id, b"one\n")
    assert (await bench.call(call_id)).status is CallStatus.QUEUED
    assert ids == [call_id] * 3


async def test_an_idle_worker_publishes_nothing(bench: Bench, admin: Redis) -> None:
    async with bench.worker():
        await asyncio.sleep(1)
        async with commands_counted(admin) as counted:
            await asyncio.sleep(6)
    sent = {name: counted.get(name, 0) for name in ("blpop", "evalsha", "publish")}
    assert (sent["blpop"], sent["publish"]) <= (2, 0), counted
    assert sent["evalsha"] <= 2, counted
