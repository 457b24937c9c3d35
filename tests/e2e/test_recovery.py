"""What dies must not take a call with it: worker child, supervisor, Redis's data."""

import asyncio
import json
import os
import signal

import pytest
import redis.asyncio

from tests.e2e.system import System, child_of, containers, no_containers
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

# Runs long on its first attempt only, so that the second shows what happened.
LONG_AT_FIRST = '[ "$FN_ATTEMPT" = 1 ] && sleep 60; echo attempt $FN_ATTEMPT'


async def test_flushall_loses_no_call_and_keeps_the_order(system: System) -> None:
    await system.start_worker(worker_slots=1)
    blocker = await system.submit(await system.create_route("sleep 3"))
    await system.running(blocker)
    route = await system.create_route("true")
    priorities = [number % 3 for number in range(50)]
    queued = [await system.submit(route, priority=priority) for priority in priorities]
    delayed = [await system.submit(route, delay_s=4) for _ in range(5)]
    assert (await system.depth())["calls"] == 56
    client = redis.asyncio.from_url(system.redis_url)
    await client.flushall()
    await client.aclose()
    calls = await system.finished([blocker, *queued, *delayed], timeout_s=120)
    assert {(call["status"], call["attempt"]) for call in calls} == {("success", 1)}
    started_at = {call["id"]: call["started_at"] for call in calls}
    in_order = sorted(range(50), key=lambda number: (-priorities[number], number))
    assert sorted(queued, key=started_at.__getitem__) == [queued[number] for number in in_order]
    for call in calls[51:]:
        assert call["started_at"] >= call["due_at"]
    assert (await system.depth())["calls"] == 0


async def test_a_killed_child_costs_one_attempt_and_leaves_no_container(system: System) -> None:
    worker = await system.start_worker(heartbeat_stale_s=60, lease_s=60)
    call_id = await system.submit(await system.create_route(LONG_AT_FIRST))
    first = await system.running(call_id)
    os.kill(child_of(worker), signal.SIGKILL)
    (call,) = await system.finished([call_id], timeout_s=30)  # long before the lease would have expired
    assert (call["status"], call["attempt"]) == ("success", 2)
    assert await system.result(call_id) == b"attempt 2\n"
    await no_containers(f"millrace.call={call_id}")
    assert first not in await containers("millrace")


async def test_a_killed_worker_is_made_good_by_its_successor(system: System) -> None:
    short = {"heartbeat_s": 0.5, "heartbeat_stale_s": 2, "lease_s": 3}
    worker = await system.start_worker(**short)
    call_id = await system.submit(await system.create_route(LONG_AT_FIRST))
    first = await system.running(call_id)
    child = child_of(worker)
    worker.kill()
    os.kill(child, signal.SIGKILL)
    await worker.wait()
    assert first in await containers("millrace", running=True)
    await system.start_worker(**short)
    (call,) = await system.finished([call_id], timeout_s=60)
    assert (call["status"], call["attempt"]) == ("success", 2)
    await no_containers(f"millrace.call={call_id}", timeout_s=30)


async def test_a_stopped_worker_finishes_what_runs_and_leaves_the_rest_queued(system: System) -> None:
    worker = await system.start_worker(worker_slots=1)
    route = await system.create_route("sleep 2; echo done")
    running, waiting = await system.submit(route), await system.submit(route)
    await system.running(running)
    worker.terminate()
    assert await worker.wait() == 0
    assert (await system.call(running))["status"] == "success"
    assert (await system.call(waiting))["status"] == "queued"
    await no_containers(f"millrace.call={running}")


async def test_an_overdue_drain_gives_the_call_and_its_attempt_back(system: System) -> None:
    worker = await system.start_worker(drain_s=0.5)
    call_id = await system.submit(await system.create_route("sleep 5; echo done"))
    await system.running(call_id)
    worker.terminate()
    assert await worker.wait() == 0
    assert (await system.call(call_id))["status"] == "queued"
    await no_containers(f"millrace.call={call_id}")
    await system.start_worker()
    (call,) = await system.finished([call_id])
    assert (call["status"], call["attempt"]) == ("success", 1)


async def test_a_killed_api_loses_nothing_that_it_accepted(system: System) -> None:
    route = await system.create_route("true")
    call_ids = [await system.submit(route) for _ in range(5)]
    api = system._processes[0]
    api.kill()
    await api.wait()
    await system.start_api()
    await system.start_worker()
    calls = await system.finished(call_ids)
    assert {call["status"] for call in calls} == {"success"}


async def test_a_sync_call_runs_on_when_its_api_ends(system: System) -> None:
    await system.start_worker()
    path = await system.create_route("sleep 3; echo done >&2", type="sync")
    answering = asyncio.create_task(system.post(path))

    async def is_taken() -> bool:
        return bool((await system.depth())["leased"])

    await eventually(is_taken)
    api = system._processes[0]
    api.terminate()
    api.send_signal(signal.SIGINT)  # nor shall it wait for what runs
    status, headers, body = await answering
    assert (status, json.loads(body)["error"]["code"], "Retry-After" in headers) == (502, "api_ended", False)
    assert await api.wait() == 0
    await system.start_api()
    call = await eventually(lambda: system.recorded(headers["Fn_call_id"]), timeout_s=30)
    assert call is not None
    assert (call["status"], call["detail"], call["exit_code"]) == ("success", "api_ended", 0)
    assert await system.log(call["id"]) == "done\n"


async def test_redis_away_is_no_reason_to_lose_a_call(system: System) -> None:
    client = redis.asyncio.from_url(system.redis_url)
    await client.client_pause(4000)
    await client.aclose()
    call_id = await system.submit(await system.create_route("true"))
    await system.start_worker()

    async def is_done() -> bool:
        return (await system.call(call_id))["status"] == "success"  # type: ignore[no-any-return]

    await eventually(is_done, timeout_s=40, interval_s=0.1)
