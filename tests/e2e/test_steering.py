"""Cancel and retry of calls that real workers run, in containers of both kinds; a worker that dies in between."""

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.e2e.probe import APP, Probe
from tests.e2e.system import Json, System, child_of
from tests.polling import eventually

pytestmark = pytest.mark.timeout(120)
shared = pytest.mark.asyncio(loop_scope="module")

CANCEL_S = (
    10.0  # how long the end of a running call may take on a busy machine; its function would take a minute
)


async def ask(system: System, method: str, path: str, status: int = 200, body: Any = None) -> Json:
    async with system._http.request(method, path, json=body) as reply:
        assert reply.status == status, await reply.text()
        return await reply.json()  # type: ignore[no-any-return]


async def started(system: System, call_id: str) -> None:
    """Wait until its function runs."""

    async def is_shown() -> bool:
        return "started_at" in await system.call(call_id)

    await eventually(is_shown, timeout_s=30)


@shared
@pytest.mark.parametrize("wire_format", ["default", "http", "json"])
async def test_a_running_call_is_cancelled_keeps_its_log_and_can_be_retried(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    system = shared_system
    probe = await Probe.create(system, probe_image, wire_format, type="async", timeout=60)
    call_id = (await probe.call(b"x", log="before the end", sleep=55)).call_id
    await started(system, call_id)
    answer = await ask(system, "DELETE", f"/v1/apps/{APP}/calls/{call_id}")
    assert (answer["message"], answer["call"]["status"]) == ("Cancellation requested", "running")
    (call,) = await system.finished([call_id], CANCEL_S)
    assert (call["status"], call["reason"], call["attempt"]) == ("cancelled", "client_request", 1)
    assert await system.log(call_id) == "before the end\n"
    await probe.has_containers(0)
    again = await ask(system, "DELETE", f"/v1/apps/{APP}/calls/{call_id}")
    assert again == {"message": "Call cancelled", "call": call}
    retried = await ask(system, "POST", f"/v1/apps/{APP}/calls/{call_id}/retry", 202)
    assert retried["parent_id"] == call_id
    await started(system, retried["call_id"])
    workers = (await ask(system, "GET", "/v1/workers"))["workers"]
    assert [one["id"] for one in workers[0]["running"]] == [retried["call_id"]]
    await ask(system, "DELETE", f"/v1/apps/{APP}/calls/{retried['call_id']}")
    (new,) = await system.finished([retried["call_id"]], CANCEL_S)
    assert (new["status"], new["parent_id"]) == ("cancelled", call_id)
    await probe.has_containers(0)


@shared
async def test_what_waits_never_runs_after_its_cancel(shared_system: System) -> None:
    system = shared_system
    route = await system.create_route("true")
    call_ids = [await system.submit(route, delay_s=1) for _ in range(10)]
    for call_id in call_ids[::2]:
        answer = await ask(system, "DELETE", f"/v1/apps/{APP}/calls/{call_id}")
        assert answer["message"] == "Call cancelled"
    calls = await system.finished(call_ids)
    assert [(call["status"], call["attempt"]) for call in calls] == [("cancelled", 0), ("success", 1)] * 5


async def test_a_call_cancelled_as_its_worker_dies_never_runs_again(system: System) -> None:
    worker = await system.start_worker(lease_s=2)
    route = await system.create_route("sleep 60")
    for _ in range(3):
        call_id = await system.submit(route)
        await system.running(call_id)
        await ask(system, "DELETE", f"/v1/apps/e2e/calls/{call_id}")
        os.kill(child_of(worker), signal.SIGKILL)
        (call,) = await system.finished([call_id], 30)
        assert (call["status"], call["reason"], call["attempt"]) == ("cancelled", "client_request", 1)
    after = await system.submit(await system.create_route("true"))
    await system.finished([after])

    async def is_empty() -> bool:
        return bool((await system.depth())["calls"] == 0)

    await eventually(is_empty)


async def test_a_cancel_and_the_death_of_the_worker_at_once_leave_one_end(system: System) -> None:
    worker = await system.start_worker(lease_s=2)
    call_id = await system.submit(await system.create_route("sleep 60"))
    await system.running(call_id)
    cancelling = asyncio.create_task(ask(system, "DELETE", f"/v1/apps/e2e/calls/{call_id}"))
    os.kill(child_of(worker), signal.SIGKILL)
    await cancelling
    (call,) = await system.finished([call_id], 30)
    assert call["status"] == "cancelled"
    stats = await ask(system, "GET", "/stats")
    assert (stats["Cancelled"], stats["Queue"], stats["Running"]) == (1, 0, 0)
