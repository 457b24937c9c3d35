"""Fn v1's contract where functions run: each test names the cases of Fn's that it is.

Which test is which case stands in tests/architecture/test_fn_cases.py; the cases that need no container are in
tests/integration/api/test_fn_contract_*.py.
"""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.probe import Answer, Probe
from tests.e2e.system import Json, System
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="module")]

HELLO = 'read -r body; name=${body#*:\\"}; name=${name%%\\"*}; echo "Hello ${name:-World}!"'
GREETINGS = [(b"", b"Hello World!\n"), (b'{"Name":"John"}', b"Hello John!\n")]
MIB = 2**20


async def ask(system: System, method: str, path: str, **options: Any) -> tuple[int, Any, bytes]:
    """An answer's status, headers and body."""
    async with system._http.request(method, path, **options) as reply:
        return reply.status, reply.headers, await reply.read()


async def first_log(system: System, call_id: str) -> bytes:
    """The log, as text, as soon as there is one."""
    path = f"/v1/apps/e2e/calls/{call_id}/log"

    async def found() -> tuple[int, bytes] | None:
        status, _, body = await ask(system, "GET", path, headers={"Accept": "text/plain"})
        return (status, body) if status == 200 else None

    answer = await eventually(found, timeout_s=20, interval_s=0.1)
    assert answer is not None
    return answer[1]


async def test_a_function_answers_its_caller(shared_system: System) -> None:
    """A-19."""
    path = await shared_system.create_route(HELLO, type="sync")
    for sent, expected in GREETINGS:
        status, headers, body = await ask(shared_system, "POST", path, data=sent)
        assert (status, body) == (200, expected)
        assert headers["Fn_call_id"]


async def test_a_call_that_takes_too_long_says_so(shared_system: System) -> None:
    """A-22, U-17: whatever the case of the id's header; the record's status is error, unlike Fn's."""
    path = await shared_system.create_route("sleep 60", type="sync", timeout=3)
    status, headers, body = await ask(shared_system, "POST", path)
    assert status == 504
    assert b"Timed out" in body
    call_id = headers["FN_CALL_ID"]

    async def record() -> Json | None:
        status, _, body = await ask(shared_system, "GET", f"/v1/apps/e2e/calls/{call_id}")
        return json.loads(body)["call"] if status == 200 else None

    call = await eventually(record)
    assert call is not None
    assert (call["status"], call["reason"]) == ("error", "timeout")


async def test_the_first_log_that_is_found_is_whole(shared_system: System) -> None:
    """A-20, A-23: of an async call that writes, waits and writes."""
    path = await shared_system.create_route("echo First line >&2; sleep 1; echo Second line >&2")
    call_id = await shared_system.submit(path)
    assert await first_log(shared_system, call_id) == b"First line\nSecond line\n"
    (call,) = await shared_system.finished([call_id])
    assert (call["app_name"], call["id"], call["status"]) == ("e2e", call_id, "success")


async def test_an_oversized_log_is_cut_and_read(shared_system: System) -> None:
    """A-24: of a call that may well die of it."""
    path = await shared_system.create_route(f"head -c {64 * MIB} /dev/zero >&2", memory=128)
    log = await first_log(shared_system, await shared_system.submit(path))
    mark = f"\n-----max log size {MIB} bytes exceeded, truncating log-----\n".encode()
    assert log == bytes(MIB) + mark


async def test_an_app_from_its_first_route_to_its_end(shared_system: System) -> None:
    """U-15, U-19: made, read, listed, called, deleted; the route's headers are on good and on bad answers."""
    app, headers = "/v1/apps/fullstack", {"X-Function": ["Test"]}
    scripts = {"/": "cat", "/named": "echo named", "/failing": "exit 1"}
    await ask(shared_system, "POST", "/v1/apps", json={"app": {"name": "fullstack"}})
    for path, script in scripts.items():
        route = {"path": path, "image": SHELL_IMAGE, "config": {"SCRIPT": script}, "headers": headers}
        status, _, body = await ask(shared_system, "POST", f"{app}/routes", json={"route": route})
        assert status == 200, body
    _, _, body = await ask(shared_system, "GET", f"{app}/routes")
    assert [route["path"] for route in json.loads(body)["routes"]] == sorted(scripts)
    calls = {"/": (200, b"x"), "/named": (200, b"named\n"), "/failing": (502, b"container exit code 1")}
    for path, (expected, content) in calls.items():
        status, answered, body = await ask(shared_system, "POST", f"/r/fullstack{path}", data=b"x")
        assert (status, answered["X-Function"]) == (expected, "Test")
        assert content in body
        status, _, _ = await ask(shared_system, "DELETE", f"{app}/routes{path}")
        assert status == 200
    assert (await ask(shared_system, "DELETE", app))[0] == 200
    for path in (app, f"{app}/routes/named", "/r/fullstack/named"):
        assert (await ask(shared_system, "GET", path))[0] == 404


async def test_a_cold_function_gets_its_call_as_environment(shared_system: System, probe_image: str) -> None:
    """U-30: names in Fn's spelling, values of one header joined, nothing forged."""
    probe = await Probe.create(shared_system, probe_image, "default")
    headers = {"Myrealheader": "FOOLORD, FOOPEASANT", "Content-Type": "text/x-tea", "FN_PATH": "/forged"}
    report = await probe.report(method="PUT", body=b"four", headers=headers)
    env = report["env"]
    expected = {
        "FN_CALL_ID": report["call_id"],
        "FN_METHOD": "PUT",
        "FN_REQUEST_URL": f"{shared_system.url}/r/e2e{probe.path}?report=1",
        "FN_PATH": probe.path,
        "FN_PARAM_app": "e2e",
        "FN_PARAM_route": probe.path,
        "FN_HEADER_Myrealheader": "FOOLORD, FOOPEASANT",
        "FN_HEADER_Content_Type": "text/x-tea",
        "FN_HEADER_Content_Length": "4",
    }
    assert env.items() >= expected.items()
    assert 0 < (datetime.fromisoformat(env["FN_DEADLINE"]) - datetime.now(UTC)).total_seconds() < 31


@pytest.mark.parametrize("wire_format", ["http", "json"])
async def test_an_async_function_gets_type_and_length_of_its_body(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    """U-18, U-32: Fn lost the type on the way through the queue."""
    probe = await Probe.create(shared_system, probe_image, wire_format, type="async")
    answer = await probe.call(b"12345", headers={"Content-Type": "text/x-tea"}, report=1)
    assert answer.status == 202
    await shared_system.finished([answer.call_id])
    headers = {
        name.lower(): value
        for name, value in json.loads(await shared_system.result(answer.call_id))["headers"]
    }
    assert (headers["content-type"], headers["content-length"]) == ("text/x-tea", "5")


@pytest.mark.asyncio(loop_scope="function")
async def test_what_no_worker_has_memory_for_is_said_to_be_busy(system: System, probe_image: str) -> None:
    """U-17: cold and hot; not at once, unlike Fn: a larger worker may come."""
    await system.start_worker(worker_memory_mb=128)

    async def call(wire_format: str) -> Answer:
        probe = await Probe.create(system, probe_image, wire_format, memory=256, timeout=2)
        return await probe.call(b"x")

    for answer in await asyncio.gather(*map(call, ("default", "http", "json"))):
        assert (answer.status, answer.message) == (503, "Timed out - server too busy")
        assert answer.headers["Retry-After"] == "15"


async def test_an_image_that_is_not_there_is_named(shared_system: System) -> None:
    """U-15: as the gateway's error, whatever the engine or its registry said, unlike Fn."""
    image = "millrace-test/no-such-image:1"
    path = await shared_system.create_route("", type="sync", image=image)
    status, headers, body = await ask(shared_system, "POST", path)
    assert status == 502
    assert image.encode() in body
    assert headers["Fn_call_id"]
