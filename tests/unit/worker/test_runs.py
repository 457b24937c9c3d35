"""Runs: the first verdict counts, and ends work that is under way."""

import asyncio

import pytest

from common.models import Call, new_id
from common.queue.base import Reservation
from worker.runs import Run, Runs, StoppedError, Verdict


def a_run() -> Run:
    call = Call(id=new_id())
    return Run(Reservation(id=call.id, token=7, deliveries=1, expires_at_ms=0), call)


async def test_the_first_verdict_counts() -> None:
    run = a_run()
    assert run.verdict is None
    run.stop(Verdict.LOST)
    run.stop(Verdict.DRAINED)
    assert run.verdict is Verdict.LOST


async def test_a_verdict_on_all_is_one_on_those_that_come_later_too() -> None:
    runs, early, late = Runs(), a_run(), a_run()
    runs.add(early)
    runs.stop_all(Verdict.DRAINED)
    runs.add(late)
    assert (early.verdict, late.verdict) == (Verdict.DRAINED, Verdict.DRAINED)


async def test_work_that_ends_first_gives_its_result_or_error() -> None:
    async def fail() -> None:
        raise KeyError

    run = a_run()
    assert await run.unless_stopped(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(KeyError):
        await run.unless_stopped(fail())


async def test_a_verdict_ends_the_work_before_it_is_reported() -> None:
    run, ended = a_run(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    waiting = asyncio.create_task(run.unless_stopped(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.stop(Verdict.CANCELLED)
    with pytest.raises(StoppedError):
        await waiting
    assert ended.is_set()


async def test_cancelling_the_wait_ends_the_work_too() -> None:
    run, ended = a_run(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(run.unless_stopped(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
