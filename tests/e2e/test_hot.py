"""Sync calls and hot containers: a caller hears at once of what goes wrong, and never of another's call."""

import asyncio
import os
import random
import time
from typing import Any

import aiohttp
import pytest

from tests.e2e.probe import APP, Probe
from tests.e2e.system import System, no_containers
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

HOT = ("json", "http")
ROUNDS = int(os.environ.get("MILLRACE_TEST_ROUNDS", "20"))
NO_DEADLINE_S = 10  # what ends sooner did not wait for a route's timeout of 30 s
KEPT_RESULT_BYTES = 2 * 2**20

# What the function does, and what its caller gets: status and a part of the message.
TROUBLE: dict[str, tuple[dict[str, Any], int, str]] = {
    "crashes": ({"at": "before", "exit": 3}, 502, "container exit code 3"),
    "crashes in mid-reply": ({"at": "during", "exit": 3}, 502, "container exit code 3"),
    "exits with 0": ({"at": "before"}, 502, ""),
    "exits with 0 in mid-reply": ({"at": "during"}, 502, ""),
    "is killed": ({"at": "before", "exit": "kill"}, 502, ""),
    "eats all memory": ({"hog": 200}, 502, "container out of memory"),
    "writes garbage": ({"raw": b"so much for that\r\n\r\n".hex()}, 502, ""),
    "writes bytes that are no text": ({"raw": "fffe0a0d0a"}, 502, ""),
    "writes more than its reply": ({"trailing": "x"}, 502, ""),
    "writes less than its reply, then exits": ({"cut": 3, "at": "after"}, 502, ""),
    "answers with huge headers": ({"fat": 300_000}, 502, ""),
    "answers with a huge body": ({"size": KEPT_RESULT_BYTES + 1}, 502, ""),
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("wire_format", HOT)
async def test_a_hot_function_that(
    shared_system: System, probe_image: str, wire_format: str, trouble: str
) -> None:
    wishes, status, message = TROUBLE[trouble]
    probe = await Probe.create(shared_system, probe_image, wire_format)
    before = await probe.report()
    answer = await probe.call(b"a body of some length", **wishes)
    assert answer.status == status, answer.body[:200]
    assert message in answer.message
    assert answer.took_s < NO_DEADLINE_S
    after = await probe.report()
    assert (after["served"], after["container"] != before["container"]) == (1, True)
    record = await probe.record(answer.call_id)
    assert (record["status"], record["reason"]) in {("error", "bad_exit"), ("error", "killed")}
    # The end of the log is for those who may read it: the record has it, the answer has not.
    assert record["error"].partition("; the log ends with: ")[0] == answer.message


@pytest.mark.parametrize("wire_format", HOT)
async def test_an_answer_that_never_ends_is_a_timeout(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    """Fn's U-17: and the next call of the same route is answered."""
    probe = await Probe.create(shared_system, probe_image, wire_format, timeout=3)
    before = await probe.report()
    answer = await probe.call(b"some body", cut=2)
    assert (answer.status, answer.message) == (504, "Timed out")
    assert answer.took_s < NO_DEADLINE_S
    assert (await probe.report())["container"] != before["container"]
    record = await probe.record(answer.call_id)
    assert (record["status"], record["reason"]) == ("error", "timeout")


@pytest.mark.parametrize(
    ("wishes", "status", "message"),
    [
        ({"at": "before", "exit": 3}, 502, "container exit code 3"),
        ({"hog": 200}, 502, "container out of memory"),
        ({"size": KEPT_RESULT_BYTES + 1}, 502, ""),
        ({"sleep": 60}, 504, "Timed out"),
    ],
)
async def test_a_cold_function_in_trouble(
    shared_system: System, probe_image: str, wishes: dict[str, Any], status: int, message: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, "default", timeout=5)
    answer = await probe.call(b"x", **wishes)
    assert answer.status == status, answer.body[:200]
    assert message in answer.message
    assert (await probe.call(b"good")).body == b"good"
    await no_containers(f"millrace.path={probe.path}")


@pytest.mark.parametrize("wire_format", HOT)
async def test_garbage_while_idle_costs_the_container_not_the_next_call(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    before = await probe.report()
    assert (await probe.call(b"fine", idle=0.1)).body == b"fine"
    await probe.has_containers(0)
    after = await probe.report()
    assert (after["served"], after["container"] != before["container"]) == (1, True)


@pytest.mark.parametrize("wire_format", HOT)
async def test_a_flooded_log_is_cut_and_holds_nothing_up(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    answer = await probe.call(b"still there", flood=200 * 2**20, sleep=0.5)
    assert (answer.status, answer.body) == (200, b"still there")
    await probe.record(answer.call_id)
    assert 2**20 <= len(await shared_system.log(answer.call_id)) < 2**20 + 200
    assert (await probe.report())["served"] == 2


@pytest.mark.timeout(60 + 4 * ROUNDS)
async def test_late_output_never_reaches_another_caller(shared_system: System, probe_image: str) -> None:
    """The first caller's reply comes just before, at or just after its deadline; the second calls as it is over."""

    rounds = ROUNDS // 2

    async def two_callers(probe: Probe, number: int) -> int:
        sleep_s = 2.85 + 0.25 * (number + random.random()) / rounds  # the last one is too long for certain
        first = await probe.call(b"first %d" % number, sleep=sleep_s, drip=0.001)
        second = await probe.call(b"second %d" % number)
        assert (second.status, second.body) == (200, b"second %d" % number)
        assert first.status == 504 or first.body == b"first %d" % number
        return first.status

    async def in_turns(wire_format: str) -> list[int]:
        probe = await Probe.create(shared_system, probe_image, wire_format, timeout=3)
        return [await two_callers(probe, number) for number in range(rounds)]

    for statuses in await asyncio.gather(*map(in_turns, HOT)):
        assert 504 in statuses


@pytest.mark.parametrize(
    ("wire_format", "fields", "count"), [("http", {}, 800), ("json", {"body_encoding": "base64"}, 200)]
)
async def test_a_thousand_hot_calls_keep_every_byte(
    shared_system: System, probe_image: str, wire_format: str, fields: dict[str, Any], count: int
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format, **fields)
    sizes = [0, 1, 2**16 - 1, 2**16, 2**20] + [int(2 ** random.uniform(0, 20)) for _ in range(count - 5)]
    callers = asyncio.Semaphore(8)

    async def echo(size: int) -> None:
        async with callers:
            body = random.randbytes(size)
            answer = await probe.call(body)
            assert answer.status == 200, answer.body[:200]
            assert answer.body == body

    await asyncio.gather(*map(echo, sizes))
    assert (await probe.report())["served"] > count // 10  # hot they were


async def test_sync_calls_leave_a_record_a_moment_after_their_answer(
    shared_system: System, probe_image: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, "http")
    answers = [await probe.call(b"x", log=f"line of {number}") for number in range(2)]
    for number, answer in enumerate(answers):
        record = await probe.record(answer.call_id, timeout_s=2)
        assert (record["status"], record["attempt"], record["cold"]) == ("success", 1, number == 0)
        times = [record[name] for name in ("created_at", "started_at", "completed_at")]
        assert times == sorted(times)
        assert await shared_system.log(answer.call_id) == f"line of {number}\n"


@pytest.mark.parametrize("wire_format", HOT)
async def test_lines_of_the_log_belong_to_their_call(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    answers = [await probe.call(b"x", log=[f"{number} a", f"{number} b"]) for number in range(20)]
    for number, answer in enumerate(answers):
        await probe.record(answer.call_id)
        assert await shared_system.log(answer.call_id) == f"{number} a\n{number} b\n"
    assert (await probe.record(answers[-1].call_id))["cold"] is False


@pytest.mark.parametrize("wire_format", ["default", "http"])
async def test_a_caller_who_hangs_up_ends_the_call(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format, timeout=60)
    async with aiohttp.ClientSession(shared_system.url) as client:
        calling = asyncio.create_task(client.post(f"/r/{APP}{probe.path}?sleep=50", data=b"x"))
        await probe.has_containers(1)
        calling.cancel()
        await asyncio.wait({calling})
    await probe.has_containers(0)

    async def is_cancelled() -> bool:
        return [call["status"] for call in await probe.records()] == ["cancelled"]

    await eventually(is_cancelled)
    assert (await probe.call(b"next")).body == b"next"


async def test_a_caller_may_prefer_not_to_wait(shared_system: System, probe_image: str) -> None:
    probe = await Probe.create(shared_system, probe_image, "http")
    answer = await probe.call(b"later", headers={"Prefer": "respond-async"})
    assert answer.status == 202
    (call,) = await shared_system.finished([answer.call_id])
    assert call["status"] == "success"
    assert await shared_system.result(answer.call_id) == b"later"


async def test_an_idle_container_ends_after_the_routes_idle_timeout(
    shared_system: System, probe_image: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, "http", idle_timeout=2)
    await probe.call(b"x")
    idle_since_s = time.monotonic()
    assert len(await probe.containers()) == 1
    await probe.has_containers(0)
    assert 1.5 < time.monotonic() - idle_since_s < 8


async def test_a_changed_route_gets_new_containers(shared_system: System, probe_image: str) -> None:
    probe = await Probe.create(shared_system, probe_image, "http")
    before = await probe.report()
    change = {"route": {"config": {"APP_VAR": "changed"}}}
    async with shared_system._http.patch(f"/v1/apps/{APP}/routes{probe.path}", json=change) as reply:
        assert reply.status == 200
    after = await probe.report()
    assert after["env"]["APP_VAR"] == "changed"
    assert after["container"] != before["container"]


async def test_async_calls_leave_room_for_sync_ones(shared_system: System, probe_image: str) -> None:
    probe = await Probe.create(shared_system, probe_image, "default")
    sleeping = await shared_system.create_route("sleep 6")
    call_ids = [await shared_system.submit(sleeping) for _ in range(6)]  # for four slots

    async def has_no_room() -> bool:
        depth = await shared_system.depth()
        return bool(depth["leased"] >= 3 and sum(depth["ready"].values()) > 0)

    await eventually(has_no_room)
    answer = await probe.call(b"x")
    assert (answer.status, answer.body) == (200, b"x")
    assert answer.took_s < 5  # no slot was waited for
    assert {call["status"] for call in await shared_system.finished(call_ids)} == {"success"}
