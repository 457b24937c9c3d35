"""What dies, is cut off or is taken away in the middle of a call: nothing is lost, nothing is left behind."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from common.errors import EngineUnavailableError, StoreUnavailableError
from common.models import CallStatus, new_id
from common.store.base import Claimed
from common.store.postgres import PostgresStore
from tests.integration.worker.bench import Bench, child_of, is_running
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE
from worker.after_death import clean_up
from worker.containers.docker import DockerDriver
from worker.containers.driver import LABEL_INCARNATION, LABEL_INSTALLATION, ContainerInfo, ContainerSpec
from worker.labels import Identity
from worker.runs import Verdict
from worker.sweep import Sweeper

pytestmark = pytest.mark.timeout(90)

# Runs long on its first attempt only, so that the second shows what happened.
LONG_AT_FIRST = '[ "$FN_ATTEMPT" = 1 ] && sleep 60; echo attempt $FN_ATTEMPT'


async def test_a_killed_child_is_cleaned_up_after_and_its_call_runs_again(bench: Bench) -> None:
    call_id = await bench.submit(LONG_AT_FIRST)
    async with bench.process(lease_s=60, heartbeat_stale_s=60) as worker:
        first = await bench.running(call_id)
        os.kill(child_of(worker), signal.SIGKILL)
        call = await bench.finished(call_id)  # long before lease or heartbeat could have run out
        assert (call.status, call.attempt) == (CallStatus.SUCCESS, 2)
        assert await bench.result(call_id) == b"attempt 2\n"
        await bench.no_containers()
        assert len(await bench.store.live_incarnations()) == 1
    assert worker.returncode == 0
    assert await bench.store.live_incarnations() == set()
    assert first.labels["millrace.call"] == str(call_id)


async def test_supervisor_and_child_killed_together_are_made_good_by_the_next_worker(bench: Bench) -> None:
    short = {"heartbeat_s": 0.3, "heartbeat_stale_s": 1.5, "lease_s": 2}
    call_id = await bench.submit(LONG_AT_FIRST)
    async with bench.process(**short) as worker:
        await bench.running(call_id)
        child = child_of(worker)
        worker.kill()
        os.kill(child, signal.SIGKILL)
        await worker.wait()
    assert len(await bench.containers()) == 1
    async with bench.process(**short):
        call = await bench.finished(call_id)
        assert (call.status, call.attempt) == (CallStatus.SUCCESS, 2)
        await bench.no_containers()


async def test_a_child_without_its_supervisor_drains_and_ends(bench: Bench) -> None:
    call_id = await bench.submit("sleep 1; echo done")
    async with bench.process() as worker:
        await bench.running(call_id)
        child = child_of(worker)
        worker.kill()
        assert (await bench.finished(call_id)).status is CallStatus.SUCCESS
        await eventually(lambda: not is_running(child))
    assert await bench.store.live_incarnations() == set()


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(bench: Bench) -> None:
    running = await bench.submit("sleep 1.5; echo done")
    waiting = await bench.submit("echo done")
    async with bench.process(worker_slots=1) as worker:
        await bench.running(running)
        worker.terminate()
        assert await worker.wait() == 0
    assert (await bench.call(running)).status is CallStatus.SUCCESS
    assert (await bench.call(waiting)).status is CallStatus.QUEUED
    assert await bench.containers() == []


async def test_an_overdue_drain_gives_calls_back_with_their_attempt(bench: Bench) -> None:
    call_ids = [await bench.submit("sleep 30") for _ in range(2)]
    async with bench.process(drain_s=0.2) as worker:
        for call_id in call_ids:
            await bench.running(call_id)
        worker.terminate()
        assert await worker.wait() == 0
    for call_id in call_ids:
        call = await bench.call(call_id)
        assert (call.status, call.attempt, call.started_at) == (CallStatus.QUEUED, 0, None)
    assert (await bench.queue.depth()).ready == (2, 0, 0)
    assert await bench.containers() == []
    assert await bench.store.live_incarnations() == set()


async def test_a_call_that_is_being_claimed_when_the_drain_begins_runs_to_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like one that was claimed a moment before: to give it back would cost its caller time for nothing."""
    claim = PostgresStore.claim
    async with bench.worker() as worker:

        async def claim_at_the_stop(store: PostgresStore, *arguments: Any) -> list[Claimed]:
            worker.loop.stop()
            return await claim(store, *arguments)

        monkeypatch.setattr(PostgresStore, "claim", claim_at_the_stop)
        call_id = await bench.submit("echo $FN_ATTEMPT")
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)


async def test_a_second_signal_does_not_wait_but_leaves_nothing(bench: Bench) -> None:
    call_id = await bench.submit("sleep 30")
    async with bench.process(drain_s=60) as worker:
        await bench.running(call_id)
        worker.send_signal(signal.SIGINT)
        await asyncio.sleep(0.2)  # two signals at once would be one
        worker.send_signal(signal.SIGINT)
        assert await worker.wait() == 1
    assert await bench.containers() == []
    assert (await bench.queue.depth()).ready == (1, 0, 0)
    assert (await bench.call(call_id)).status is CallStatus.RUNNING  # until it is claimed again: attempt 2


async def test_a_container_removed_by_somebody_else_is_tried_again(bench: Bench) -> None:
    call_id = await bench.submit(LONG_AT_FIRST)
    async with bench.worker():
        await bench.driver.remove((await bench.running(call_id)).id)
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 2)


async def test_attempts_run_out(bench: Bench) -> None:
    call_id = await bench.submit("sleep 60")
    async with bench.worker(max_attempts=1):
        await bench.driver.remove((await bench.running(call_id)).id)
        call = await bench.finished(call_id)
    assert (call.status, call.attempt, call.detail) == (CallStatus.ERROR, 1, "too_many_attempts")
    assert (await bench.queue.depth()).calls == 0


@pytest.mark.parametrize(
    "slots", [1, 2]
)  # with two, this very worker may take the call again before it notices
async def test_a_lost_lease_ends_the_run_and_writes_nothing(bench: Bench, slots: int) -> None:
    call_id = await bench.submit(LONG_AT_FIRST)
    async with bench.worker(lease_s=0.9, worker_slots=slots) as worker:
        await bench.running(call_id)
        (run,) = worker.runs.all()
        await bench.queue.release([run.reservation])
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 2)
    assert run.verdict is Verdict.LOST
    assert await bench.containers() == []


async def test_a_queue_that_lost_its_data_ends_no_run(bench: Bench) -> None:
    call_id = await bench.submit("sleep 2; echo done")
    async with bench.worker(lease_s=0.9):
        await bench.running(call_id)
        await forget_queue(bench)
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)


async def test_a_store_that_is_slow_to_say_whose_a_call_is_costs_no_other_its_lease(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_store: PostgresStore, _requests: object) -> set[UUID]:
        await asyncio.sleep(60)
        return set()

    monkeypatch.setattr(PostgresStore, "held", slow)
    forgotten = await bench.submit("sleep 60")
    async with bench.worker(lease_s=0.9, worker_slots=3, drain_s=0.1):
        await bench.running(forgotten)
        await forget_queue(bench)
        other = await bench.submit("sleep 2.5; echo done")
        call = await bench.finished(other)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)


async def test_an_unknown_lease_of_a_call_that_is_anothers_ends_the_run(bench: Bench) -> None:
    call_id = await bench.submit("sleep 60")
    async with bench.worker(lease_s=0.9, drain_s=0.1) as worker:
        await bench.running(call_id)
        (run,) = worker.runs.all()
        await forget_queue(bench)
        await bench.store.settle_dead([call_id])
        await bench.no_containers()
    assert run.verdict is Verdict.LOST
    assert (await bench.call(call_id)).status is CallStatus.ERROR


async def test_a_cancelled_run_is_killed_and_recorded(bench: Bench) -> None:
    call_id = await bench.submit("echo partial; sleep 60")
    async with bench.worker() as worker:
        await bench.running(call_id)
        (run,) = worker.runs.all()
        run.stop(Verdict.CANCELLED)
        call = await bench.finished(call_id)
        await bench.no_containers()
    assert (call.status, call.reason) == (CallStatus.CANCELLED, "client_request")
    assert await bench.result(call_id) == b"partial\n"


async def test_containers_of_dead_incarnations_are_swept_and_no_others(bench: Bench) -> None:
    call_id = await bench.submit("sleep 60")
    async with bench.worker(drain_s=0.1) as worker:
        await bench.running(call_id)
        await worker.sweeper.sweep()
        assert len(await bench.containers()) == 1
        (run,) = worker.runs.all()
        worker.runs.discard(run)  # as if it had ended and its container could not be removed
        await worker.sweeper.sweep()
        assert await bench.containers() == []


async def test_a_container_that_can_not_be_removed_keeps_the_sweep_from_no_other(bench: Bench) -> None:
    installation = await bench.store.installation_id()
    await abandon(bench, new_id(), 3)
    identity = Identity(installation=installation, incarnation=new_id())
    sweeper = Sweeper(bench.store, bench.driver, lambda _labels: True, identity, bench.settings)
    async with stuck(bench) as container:
        await sweeper.sweep()
        assert await bench.containers() == [container]
    await sweeper.sweep()
    assert await bench.containers() == []


async def test_a_container_that_can_not_be_removed_keeps_the_clean_up_from_no_other(bench: Bench) -> None:
    incarnation = new_id()
    await abandon(bench, incarnation, 3)
    async with stuck(bench) as container:
        await clean_up(bench.settings, incarnation)
        assert await bench.containers() == [container]


async def test_leases_are_extended_for_as_long_as_a_call_runs(bench: Bench) -> None:
    call_id = await bench.submit("sleep 3")
    async with bench.worker(lease_s=0.9):
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)


async def test_a_worker_whose_heartbeat_is_stale_is_not_ready(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_store: PostgresStore, *_said: object, **_more: object) -> bool:
        raise StoreUnavailableError from TimeoutError()

    async with bench.worker(heartbeat_s=0.1, heartbeat_stale_s=0.5) as worker:
        assert worker.why_not_ready() is None
        with monkeypatch.context() as patch:
            patch.setattr(PostgresStore, "heartbeat", away)
            why = await eventually(worker.why_not_ready)
            assert re.fullmatch(r"heartbeat not written for \d+ s: TimeoutError\(\)", why or "")
        await eventually(lambda: worker.why_not_ready() is None)


async def test_a_worker_that_the_store_forgot_is_known_again_and_its_sweeper_holds_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.worker(heartbeat_s=0.1) as worker:
        held = asyncio.Event()
        monkeypatch.setattr(worker.sweeper, "hold", held.set)
        (incarnation,) = await bench.store.live_incarnations()
        await bench.store.remove_worker(incarnation)
        await eventually(bench.store.live_incarnations)
        assert held.is_set()
        (known,) = await bench.store.get_workers(10, 10)
        assert known.incarnation == incarnation
        assert (known.slots, known.memory_mb) == (2, 1024)
    assert await bench.store.live_incarnations() == set()


async def test_a_silent_store_makes_nobody_a_dead_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way to Postgres that is silent stops everybody's heartbeat; one of them finds it out first."""
    beat, goes_on = PostgresStore.heartbeat, asyncio.Event()
    other = new_id()
    await bench.store.register_worker(other, "there", 1, 1)
    await abandon(bench, other, 1)

    async def silent(store: PostgresStore, *said: Any, **more: Any) -> bool:
        await goes_on.wait()
        return await beat(store, *said, **more)

    async with bench.worker(heartbeat_s=0.1, heartbeat_stale_s=0.5) as worker:
        with monkeypatch.context() as patch:
            patch.setattr(PostgresStore, "heartbeat", silent)
            await eventually(worker.why_not_ready)
            await asyncio.sleep(0.7)  # more than a round of the sweeper
            assert len(await bench.containers()) == 1
            goes_on.set()
            assert await beat(bench.store, other)
            await eventually(lambda: worker.why_not_ready() is None)
        assert len(await bench.containers()) == 1
        await bench.no_containers()  # now it is dead


async def abandon(bench: Bench, incarnation: UUID, count: int) -> None:
    """Leave containers behind, as an incarnation that is gone would."""
    image = await bench.driver.inspect_image(SHELL_IMAGE)
    assert image is not None
    installation = await bench.store.installation_id()
    labels = {LABEL_INSTALLATION: str(installation), LABEL_INCARNATION: str(incarnation)}
    for _ in range(count):
        name = f"bench-{new_id()}"
        await bench.driver.create(
            ContainerSpec(name=name, image=image, env={}, labels=labels, memory_mb=32, writable_root=False)
        )


@asynccontextmanager
async def stuck(bench: Bench) -> AsyncIterator[ContainerInfo]:
    """The first container of the engine's listing, which it fails to remove meanwhile."""
    first = (await bench.containers())[0]
    remove = DockerDriver.remove

    async def fail(driver: DockerDriver, name_or_id: str) -> None:
        if name_or_id == first.id:
            raise EngineUnavailableError
        await remove(driver, name_or_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DockerDriver, "remove", fail)
        yield first


async def forget_queue(bench: Bench) -> None:
    """Delete the test's queue, as a FLUSHALL would; the server is shared."""
    client = bench.queue._link.commands
    await client.delete(*await client.keys(f"*{bench.settings.queue_name}*"))
