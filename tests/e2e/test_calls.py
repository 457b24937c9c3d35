"""One call from HTTP through the queue and a container to its record, and every way in which it can end."""

import time
from collections.abc import Callable
from datetime import datetime

import pytest

from tests.e2e.system import System, no_containers
from tests.polling import eventually

pytestmark = pytest.mark.timeout(120)


async def test_success_leaves_result_log_stats_and_times(system: System) -> None:
    """Fn's U-40."""
    await system.start_worker()
    route = await system.create_route("echo to the log >&2; cat; sleep 1.2")
    call_id = await system.submit(route, b"hello")
    (call,) = await system.finished([call_id])
    assert (call["status"], call["attempt"], call["exit_code"]) == ("success", 1, 0)
    assert await system.result(call_id) == b"hello"
    assert await system.log(call_id) == "to the log\n"
    day = call["started_at"].partition("T")[0]
    assert (await system.log(call_id, timestamps=1)).startswith(f"{day}T")
    assert {"mem_usage", "mem_limit"} <= call["stats"][0]["metrics"].keys()
    times = [call[name] for name in ("created_at", "claimed_at", "started_at", "completed_at")]
    assert times == sorted(times)
    await no_containers(f"millrace.call={call_id}")
    assert (await system.depth())["calls"] == 0


async def test_nonzero_exit_is_a_bad_exit(system: System) -> None:
    """Fn's U-33."""
    await system.start_worker()
    call_id = await system.submit(await system.create_route("echo why >&2; exit 3"))
    (call,) = await system.finished([call_id])
    assert (call["status"], call["reason"], call["exit_code"]) == ("error", "bad_exit", 3)
    assert call["error"] == "container exit code 3; the log ends with: why"
    assert await system.log(call_id) == "why\n"


async def test_timeout_kills_at_the_limit(
    system: System, record_property: Callable[[str, object], None]
) -> None:
    await system.start_worker()
    call_id = await system.submit(await system.create_route("echo begun >&2; sleep 60", timeout=1))
    (call,) = await system.finished([call_id])
    await no_containers(f"millrace.call={call_id}")
    assert (call["status"], call["reason"]) == ("error", "timeout")
    assert await system.log(call_id) == "begun\n"
    ran_s = seconds_between(call["started_at"], call["completed_at"])
    assert ran_s >= 1
    record_property("seconds past the limit until the call had ended", f"{ran_s - 1:.3f}")


async def test_memory_hog_is_killed(system: System) -> None:
    await system.start_worker()
    call_id = await system.submit(await system.create_route("tail /dev/zero", memory=32))
    (call,) = await system.finished([call_id])
    assert (call["status"], call["reason"], call["detail"]) == ("error", "killed", "oom_killed")
    assert "route.memory" in call["error"]


async def test_missing_image_has_its_own_detail_and_is_not_tried_for_ever(system: System) -> None:
    await system.start_worker(
        max_attempts=2
    )  # where the registry can't be reached, nobody knows that it is missing
    route = await system.create_route("", image="millrace-test/no-such-image:1")
    call_id = await system.submit(route)
    (call,) = await system.finished([call_id])
    assert (call["status"], call["reason"]) == ("error", "killed")
    assert call["attempt"] <= 2
    assert call["detail"] in {
        "image_not_found",
        "registry_unknown",
        "registry_unreachable",
        "registry_timeout",
    }
    assert "millrace-test/no-such-image:1" in call["error"]
    assert (await system.depth())["calls"] == 0


async def test_all_byte_values_arrive_unchanged(system: System) -> None:
    await system.start_worker()
    payload = bytes(range(256)) * 64
    call_id = await system.submit(await system.create_route("cat"), payload)
    (call,) = await system.finished([call_id])
    assert call["status"] == "success"
    assert await system.result(call_id) == payload


async def test_twenty_calls_at_once_on_two_slots_all_finish(system: System) -> None:
    await system.start_worker(worker_slots=2)
    route = await system.create_route("cat")
    call_ids = [await system.submit(route, str(number).encode()) for number in range(20)]
    calls = await system.finished(call_ids)
    assert {call["status"] for call in calls} == {"success"}
    for number, call_id in enumerate(call_ids):
        assert await system.result(call_id) == str(number).encode()
    assert most_at_once(calls) <= 2


async def test_a_delayed_call_waits_for_its_delay(system: System) -> None:
    await system.start_worker()
    begun_s = time.monotonic()
    call_id = await system.submit(await system.create_route("true"), delay_s=2)
    assert (await system.call(call_id))["status"] == "delayed"
    (call,) = await system.finished([call_id])
    assert time.monotonic() - begun_s >= 2
    assert call["status"] == "success"
    assert seconds_between(call["created_at"], call["started_at"]) >= 2


async def test_higher_priority_overtakes_queued_lower_ones(system: System) -> None:
    route = await system.create_route("true")
    priorities = [0, 1, 0, 2, 1, 2]
    call_ids = [await system.submit(route, priority=priority) for priority in priorities]
    assert (await system.depth())["ready"] == {"0": 2, "1": 2, "2": 2}
    await system.start_worker(worker_slots=1)
    calls = await system.finished(call_ids)
    started = sorted(calls, key=lambda call: call["started_at"])
    expected = [call_ids[place] for place in (3, 5, 1, 4, 0, 2)]
    assert [call["id"] for call in started] == expected


async def test_deleting_an_app_ends_what_runs_at_once(system: System) -> None:
    await system.start_worker()
    call_id = await system.submit(await system.create_route("sleep 60"))
    await system.running(call_id)
    async with system._http.delete("/v1/apps/e2e") as reply:
        assert reply.status == 200
    await no_containers(
        f"millrace.call={call_id}", timeout_s=8
    )  # the lease would be extended only after 10 s
    assert (await system.depth())["calls"] == 0


async def test_status_log_and_result_before_the_end(system: System) -> None:
    route = await system.create_route("true")
    call_id = await system.submit(route, b"secret payload")
    call = await system.call(call_id)
    assert call["status"] == "queued"
    assert "secret payload" not in str(call)
    for part in ("log", "result"):
        async with system._http.get(f"/v1/apps/e2e/calls/{call_id}/{part}") as reply:
            assert reply.status == 404


async def test_both_processes_show_their_metrics(system: System) -> None:
    await system.start_worker()
    await system.finished([await system.submit(await system.create_route("exit 1"))])
    async with system._http.get("/metrics") as reply:
        line = f'millrace_queue_ready{{priority="2",queue="{system.queue_name}"}} 0.0'
        assert line in (await reply.text()).splitlines()

    async def counted() -> bool:
        async with system._http.get(f"http://127.0.0.1:{system.worker_port}/metrics") as reply:
            text = await reply.text()
        return (
            'millrace_calls_finished_total{detail="exit_code",reason="bad_exit",status="error"} 1.0' in text
        )

    await eventually(counted)


def seconds_between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def most_at_once(calls: list[dict[str, str]]) -> int:
    """How many of the calls ran at the same instant, at most."""
    marks = [(call["started_at"], 1) for call in calls] + [(call["completed_at"], -1) for call in calls]
    running = most = 0
    for _, change in sorted(marks):
        running += change
        most = max(most, running)
    return most
