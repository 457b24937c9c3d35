"""A run whose cancel was asked for ends: at once by the queue's word, within a bounded time by the store's alone."""

import asyncio
import random
import time
from typing import Any
from uuid import UUID

import pytest

from common.errors import CallIsFinalError, QueueUnavailableError
from common.models import Call, CallStatus
from common.queue.redis import RedisQueue
from tests.integration.worker.bench import Bench
from tests.integration.worker.test_recovery import forget_queue
from tests.polling import eventually
from worker import leases
from worker.containers.hot import Slot
from worker.containers.pool import ContainerPool
from worker.runs import Verdict

pytestmark = pytest.mark.timeout(90)

# Says something once it has its input, which a hot function gets with a call.
TALKS = "head -c 1 > /dev/null; echo before the end >&2; sleep 60"
ANSWERS = """while read -r line; do echo '{"body":"ok"}'; done"""
FORMATS = ("default", "http", "json")


async def started(bench: Bench, call_id: UUID) -> None:
    """Wait until its function runs: its start is shown after a second."""

    async def is_shown() -> bool:
        return (await bench.call(call_id)).started_at is not None

    await eventually(is_shown, timeout_s=30)


async def ended(bench: Bench, call_id: UUID) -> Call:
    """Wait for the end of a cancelled run, with all that it must leave and no container."""
    call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail) == (CallStatus.CANCELLED, "client_request", "")
    assert await bench.log(call_id) == "before the end\n"
    await bench.no_containers()
    await eventually(lambda: is_forgotten(bench))
    return call


async def is_forgotten(bench: Bench) -> bool:
    return (await bench.queue.depth()).calls == 0


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_the_queues_word_ends_it_at_once(bench: Bench, wire_format: str) -> None:
    call_id = await bench.submit(TALKS, b"in", format=wire_format, timeout=60)
    async with bench.worker(lease_s=60):
        await started(bench, call_id)
        begun_s = time.monotonic()
        assert (await bench.store.cancel("bench", call_id)).status is CallStatus.RUNNING
        await bench.queue.cancel([call_id])
        call = await ended(bench, call_id)
        assert time.monotonic() - begun_s < leases.CANCEL_LOOK_S
    assert call.attempt == 1
    assert call.completed_at is not None


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_the_store_alone_ends_it_if_the_queue_never_heard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, wire_format: str
) -> None:
    monkeypatch.setattr(leases, "CANCEL_LOOK_S", 1.0)
    call_id = await bench.submit(TALKS, b"in", format=wire_format, timeout=60)
    async with bench.worker(lease_s=60):
        await started(bench, call_id)
        await bench.store.cancel("bench", call_id)
        await ended(bench, call_id)


async def test_a_queue_that_lost_its_data_with_the_cancel_does_not_save_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "CANCEL_LOOK_S", 1.0)
    call_id = await bench.submit(TALKS, b"in", timeout=60)
    async with bench.worker(lease_s=0.9):
        await started(bench, call_id)
        await bench.store.cancel("bench", call_id)
        await forget_queue(bench)
        await ended(bench, call_id)


async def test_a_queue_that_is_away_does_not_save_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise QueueUnavailableError

    monkeypatch.setattr(leases, "CANCEL_LOOK_S", 0.2)
    call_id = await bench.submit(TALKS, b"in", timeout=60)
    async with bench.worker(lease_s=0.9) as worker:
        await started(bench, call_id)
        with monkeypatch.context() as patch:
            patch.setattr(RedisQueue, "extend", away)
            await bench.store.cancel("bench", call_id)
            call = await bench.finished(call_id)
        assert call.status is CallStatus.CANCELLED
        assert not worker.runs.all() or worker.runs.all()[0].verdict is Verdict.CANCELLED


@pytest.mark.parametrize("verdict", [Verdict.CANCELLED, Verdict.DRAINED])
async def test_a_verdict_that_comes_with_the_container_leaves_it_to_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    """Nothing was written to it; and a sync call that was not sent may go to another worker."""
    acquire, stopped = ContainerPool.acquire, asyncio.Event()
    async with bench.worker() as worker:
        await bench.finished(await bench.submit(ANSWERS, format="json", json_framing="line"))
        (warm,) = await bench.containers()

        async def acquire_and_stop(pool: ContainerPool, *arguments: Any) -> Slot:
            slot = await acquire(pool, *arguments)
            for run in worker.runs.all():
                run.stop(verdict)
            worker.loop.stop()
            stopped.set()
            return slot

        monkeypatch.setattr(ContainerPool, "acquire", acquire_and_stop)
        call_id = await bench.submit(ANSWERS, format="json", json_framing="line")
        async with asyncio.timeout(30):
            await stopped.wait()
        await eventually(lambda: not worker.runs.all())
        assert [container.id for container in await bench.containers()] == [warm.id]
    call = await bench.call(call_id)
    is_cancelled = verdict is Verdict.CANCELLED
    assert (call.status, call.attempt, call.started_at) == (
        (CallStatus.CANCELLED, 1, None) if is_cancelled else (CallStatus.QUEUED, 0, None)
    )


async def test_a_run_is_left_alone_if_another_attempt_was_cancelled(bench: Bench) -> None:
    call_ids = [await bench.submit("sleep 2; echo done") for _ in range(2)]
    async with bench.worker() as worker:
        await started(bench, call_ids[0])
        async with bench.store.get_database().acquire() as connection:
            await connection.execute(
                "UPDATE calls SET cancel_requested_at = now(), token = token + 1 WHERE id = $1", call_ids[0]
            )
        await worker.leases.look_for_cancels()
        assert [run.verdict for run in worker.runs.all()] == [None, None]
        worker.runs.stop_all(Verdict.LOST)


async def test_calls_that_wait_are_not_run_after_their_cancel(bench: Bench) -> None:
    """The queue was never told, so the worker gets them all, and the claim sorts them out."""
    call_ids = [await bench.submit("echo ran") for _ in range(6)]
    cancelled = call_ids[::2]
    for call_id in cancelled:
        assert (await bench.store.cancel("bench", call_id)).status is CallStatus.CANCELLED
    async with bench.worker():
        await eventually(lambda: is_forgotten(bench), timeout_s=30)
    statuses = [(call.status, call.attempt) for call in [await bench.call(call_id) for call_id in call_ids]]
    assert statuses == [(CallStatus.CANCELLED, 0), (CallStatus.SUCCESS, 1)] * 3


async def test_cancels_at_any_moment_leave_one_end_and_no_container(bench: Bench) -> None:
    """Short runs, each cancelled at another moment of its life: waiting, claimed, starting, running, or over."""
    call_ids = [await bench.submit("echo ran; sleep 0.2", memory=64) for _ in range(24)]

    async def cancel_soon(call_id: UUID, after_s: float) -> CallStatus | None:
        await asyncio.sleep(after_s)
        try:
            call = await bench.store.cancel("bench", call_id)
        except CallIsFinalError:
            return None
        await bench.queue.cancel([call_id])
        return call.status

    async with bench.worker(worker_slots=4, lease_s=0.9):
        said = await asyncio.gather(*(cancel_soon(call_id, random.uniform(0, 6)) for call_id in call_ids))
        calls = [await bench.finished(call_id) for call_id in call_ids]
        await bench.no_containers()
        await eventually(lambda: is_forgotten(bench))
    for call, answer in zip(calls, said, strict=True):
        if answer is CallStatus.CANCELLED:
            assert (call.status, call.attempt) == (CallStatus.CANCELLED, 0)
        elif answer is CallStatus.RUNNING:
            assert call.status in (CallStatus.CANCELLED, CallStatus.SUCCESS)
        else:
            assert call.status is CallStatus.SUCCESS
        assert call.attempt <= 1
    assert {CallStatus.CANCELLED, CallStatus.SUCCESS} == {call.status for call in calls}
