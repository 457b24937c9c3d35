"""Following calls of a whole system: their end, their transitions and their logs reach a client while they happen."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.probe import Probe
from tests.e2e.system import Json, System, child_of

pytestmark = pytest.mark.timeout(120)

shared = pytest.mark.asyncio(loop_scope="module")

ANEW = "-----the call runs again, its log begins anew-----"


async def wait(system: System, call_id: str, wait_s: float) -> Json:
    return (await system._json(f"/v1/apps/e2e/calls/{call_id}?wait={wait_s:g}"))["call"]  # type: ignore[no-any-return]


async def events(system: System, call_id: str) -> list[Json]:
    """The calls of all events, once the stream has ended."""
    async with system._http.get(f"/v1/apps/e2e/calls/{call_id}/events") as reply:
        assert reply.status == 200
        lines = (await reply.text()).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


async def log_lines(system: System, call_id: str) -> AsyncIterator[tuple[str, float]]:
    """Each line of a followed log, and when it came."""
    async with system._http.get(f"/v1/apps/e2e/calls/{call_id}/log?follow=1", timeout=None) as reply:
        assert reply.status == 200
        async for line in reply.content:
            yield line.decode().rstrip("\n"), time.monotonic()


@shared
async def test_who_waits_hears_of_the_end_when_it_comes(shared_system: System) -> None:
    call_id = await shared_system.submit(await shared_system.create_route("sleep 2; echo done"))
    assert (await wait(shared_system, call_id, 0.2))["status"] in ("queued", "running")
    call = await wait(shared_system, call_id, 30)
    late = datetime.now(UTC) - datetime.fromisoformat(call["completed_at"])
    assert call["status"] == "success"
    assert late.total_seconds() < 1.5
    assert await shared_system.result(call_id) == b"done\n"


@shared
async def test_the_events_of_a_call_tell_its_life(shared_system: System) -> None:
    route = await shared_system.create_route("sleep 1; exit 3")
    call_id = await shared_system.submit(route, delay_s=2)
    told = await events(shared_system, call_id)
    assert [call["status"] for call in told if call["status"] != "queued"] == ["delayed", "running", "error"]
    assert told[-1] == await shared_system.call(call_id)
    assert (told[-1]["exit_code"], told[-1]["attempt"]) == (3, 1)


@shared
async def test_a_log_is_read_while_it_is_written(shared_system: System) -> None:
    script = "for i in 1 2 3 4; do echo line $i >&2; sleep 1; done"
    call_id = await shared_system.submit(await shared_system.create_route(script))
    lines = [line async for line in log_lines(shared_system, call_id)]
    assert [text for text, _ in lines] == ["line 1", "line 2", "line 3", "line 4"]
    assert lines[-1][1] - lines[0][1] > 1, "they came one after the other"
    assert await shared_system.log(call_id) == "line 1\nline 2\nline 3\nline 4\n"


@shared
@pytest.mark.parametrize("wire_format", ["default", "json", "http"])
async def test_the_log_of_every_format_can_be_followed(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format, type="async")
    answer = await probe.call(log="early", sleep=4)
    call_id = json.loads(answer.body)["call_id"]
    lines: list[Any] = []
    async for text, _ in log_lines(shared_system, call_id):
        lines.append((text, (await shared_system.call(call_id))["status"]))
    assert lines == [("early", "running")]


@shared
async def test_a_sync_answer_says_what_took_how_long(shared_system: System, probe_image: str) -> None:
    probe = await Probe.create(shared_system, probe_image, "http")
    for sleep_s, at in ((0.3, ""), (0.2, "before")):
        answer = await probe.call(sleep=sleep_s, at=at, exit=1)
        parts = [part.split(";dur=") for part in answer.headers["Server-Timing"].split(", ")]
        timings = {name: float(ms) for name, ms in parts}
        assert list(timings) == ["queue", "start", "run", "total"]
        assert timings["run"] >= sleep_s * 1000
        assert timings["queue"] + timings["start"] + timings["run"] <= timings["total"] + 1
        assert timings["total"] <= answer.took_s * 1000 + 1
        record = await probe.record(answer.call_id)
        assert record["status"] == ("error" if at else "success")


async def test_a_follower_sees_the_log_of_a_killed_worker_and_then_that_of_the_next(system: System) -> None:
    worker = await system.start_worker(heartbeat_stale_s=60, lease_s=60)
    script = 'echo attempt $FN_ATTEMPT >&2; [ "$FN_ATTEMPT" = 1 ] && sleep 60; sleep 2; echo done >&2'
    call_id = await system.submit(await system.create_route(script))
    told = asyncio.create_task(events(system, call_id))
    lines = []
    async for text, _ in log_lines(system, call_id):
        if text == "attempt 1":
            os.kill(child_of(worker), signal.SIGKILL)
        lines.append(text)
    assert lines == ["attempt 1", "", ANEW, "attempt 2", "done"]
    states = [(call["status"], call["attempt"]) for call in await told]
    assert states[0] in (("queued", 0), ("running", 1))
    assert states[-2:] == [("running", 2), ("success", 2)]
    assert await system.log(call_id) == "attempt 2\ndone\n"
