"""Hot calls on a whole worker: what they promise of memory, and what they leave behind in the pool."""

import asyncio
import time
from typing import Any

import pytest

from common.models import (
    Call,
    CallStatus,
    Detail,
    Outcome,
    QueueEntry,
    SyncTicket,
    decode_reply,
    encode_call,
    new_id,
)
from tests.integration.worker.bench import Bench
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE
from worker.containers.docker import DockerDriver
from worker.containers.driver import ContainerSpec
from worker.containers.hot import Slot
from worker.containers.pool import ContainerPool
from worker.containers.slots import PoolCounts
from worker.runs import Run

pytestmark = pytest.mark.timeout(90)

ANSWERS = """while read -r line; do echo '{"body":"ok"}'; done"""
MEMORY_MB = 128
START_S = 1.0


async def ask(bench: Bench, wire_format: str = "json", script: str = ANSWERS) -> Outcome:
    """How a sync call of a function ends: of one that answers, unless *script* says otherwise."""
    call = Call(
        id=new_id(),
        app_name="bench",
        path="/f",
        image=SHELL_IMAGE,
        type="sync",
        format=wire_format,
        json_framing="line",
        payload=b"",
        timeout=30,
        idle_timeout=30,
        memory=MEMORY_MB,
        base_env={"SCRIPT": script},
        route_revision=b"answers",
    )
    ticket = SyncTicket(reply_to=new_id(), ttl_ms=60_000, message=encode_call(call))
    entry = QueueEntry(id=call.id, order_no=0, priority=0, delay_ms=0, memory_mb=call.memory, ticket=ticket)
    await bench.queue.push([entry])
    async with asyncio.timeout(30):
        reply = await anext(bench.queue.replies(ticket.reply_to))
    return decode_reply(reply).outcome


@pytest.mark.parametrize(
    ("script", "timeout_s", "status"),
    [(ANSWERS, 30, CallStatus.SUCCESS), ("sleep 60", 1, CallStatus.ERROR)],
    ids=["held back for its log", "in doubt"],
)
async def test_memory_is_promised_to_one_container_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str, timeout_s: int, status: CallStatus
) -> None:
    create, others = DockerDriver.create, []

    async def look_and_create(driver: DockerDriver, spec: ContainerSpec) -> None:
        others.append(len(await bench.containers()))
        await create(driver, spec)

    monkeypatch.setattr(DockerDriver, "create", look_and_create)
    route: dict[str, Any] = {"format": "json", "json_framing": "line", "memory": MEMORY_MB}
    call_ids = [await bench.submit(f"{script} # {n}", timeout=timeout_s, **route) for n in range(3)]
    async with bench.worker(worker_memory_mb=MEMORY_MB):
        assert [(await bench.finished(call_id)).status for call_id in call_ids] == [status] * 3
    assert others == [0] * 3


async def test_a_container_that_comes_as_the_start_budget_ends_is_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, start_budget, pools = ContainerPool.acquire, Run.start_budget, list[ContainerPool]()

    async def acquire_at_the_last_moment(pool: ContainerPool, *arguments: Any) -> Slot:
        slot = await acquire(pool, *arguments)
        pools.append(pool)
        time.sleep(START_S)  # noqa: ASYNC251 - the loop is busy, as with a large body, until the budget is used up
        return slot

    async with bench.worker():
        assert (await ask(bench)).status is CallStatus.SUCCESS
        with monkeypatch.context() as patch:
            patch.setattr(Run, "start_budget", lambda run, _: start_budget(run, START_S))
            patch.setattr(ContainerPool, "acquire", acquire_at_the_last_moment)
            assert (await ask(bench)).detail == Detail.INIT_TIMEOUT
        (pool,) = pools
        await eventually(lambda: pool.counts() == PoolCounts(idle=1, paused=0, busy=0, starting=0))
        assert (await ask(bench)).status is CallStatus.SUCCESS
        assert len(await bench.containers()) == 1


async def test_a_sync_call_whose_container_may_have_started_is_not_called_unstarted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's answer to the start comes too late: the function may run already, so nobody may ask again."""
    start = DockerDriver.start

    async def start_and_say_nothing(driver: DockerDriver, container: str) -> None:
        await start(driver, container)
        await asyncio.Event().wait()

    monkeypatch.setattr(DockerDriver, "start", start_and_say_nothing)
    async with bench.worker(start_timeout_s=START_S):
        assert (await ask(bench, "default")).detail == Detail.WORKER_LOST


async def test_sync_calls_have_all_slots_while_no_async_call_waits(bench: Bench) -> None:
    async def are_running() -> bool:
        return len(await bench.containers()) == 4

    async with bench.worker(worker_slots=4):
        asking = [asyncio.create_task(ask(bench, "default", "sleep 3")) for _ in range(4)]
        await eventually(are_running)
        assert {(await one).status for one in asking} == {CallStatus.SUCCESS}
