"""Calls, beyond Fn v1's contract (test_fn_contract_calls.py): shown from the first moment, with their results."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from tests.integration.api.served import ServedApi

CALLS = "/v1/apps/app/calls"
SECRETS = ("secret-payload", "secret-header", "secret-config")


async def test_a_call_is_shown_from_the_first_moment_without_its_input(api: ServedApi) -> None:
    path = await api.create_route(config={"KEY": "secret-config"})
    call_id = await api.submit(path, b"secret-payload", X_Key="secret-header")
    answer = await api.get(f"{CALLS}/{call_id}")
    call = answer.json["call"]
    assert answer.json == {"message": "Successfully loaded call", "call": call}
    assert call == {
        "id": call_id,
        "status": "queued",
        "app_name": "app",
        "path": "/hello",
        "type": "async",
        "priority": 0,
        "attempt": 0,
        "created_at": call["created_at"],
    }
    shown = answer.body + (await api.get(CALLS)).body
    assert not [secret for secret in SECRETS if secret.encode() in shown]


async def test_a_delayed_call_shows_its_delay_and_when_it_is_due(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route(), Millrace_Delay="60", Millrace_Priority="2")
    call = (await api.get(f"{CALLS}/{call_id}")).json["call"]
    assert (call["status"], call["delay"], call["priority"]) == ("delayed", 60, 2)
    due_in = datetime.fromisoformat(call["due_at"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < due_in <= timedelta(seconds=60)


async def test_a_failed_call_says_why(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    await api.finish(call_id, well=False)
    call = (await api.get(f"{CALLS}/{call_id}")).json["call"]
    assert (call["status"], call["reason"], call["detail"]) == ("error", "bad_exit", "exit_code")
    assert (call["exit_code"], call["error"], call["attempt"]) == (3, "container exit code 3", 1)
    assert call["created_at"] <= call["claimed_at"] <= call["completed_at"]


async def test_a_result_comes_byte_for_byte(api: ServedApi) -> None:
    path = await api.create_route()
    for content, content_type in (
        (bytes(range(256)), "application/octet-stream"),
        ("<b>é</b>".encode(), "text/plain; charset=utf-8"),
        (b"", "text/plain; charset=utf-8"),
    ):
        call_id = await api.submit(path)
        await api.finish(call_id, result=content)
        answer = await api.get(f"{CALLS}/{call_id}/result")
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_result_has_the_headers_and_the_status_of_its_function(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route(format="json"))
    headers = {"X-Many": ["1", "2"], "Content-Length": ["3"], "Set-Cookie": ["a"], "Connection": ["close"]}
    await api.finish(call_id, result=b"[]", response_status=418, response_headers=headers, cold=True)
    answer = await api.get(f"{CALLS}/{call_id}/result")
    assert (answer.status, answer.headers["Millrace-Status"], answer.body) == (200, "418", b"[]")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers.getall("X-Many") == ["1", "2"]
    assert not {"Set-Cookie", "Connection"} & set(answer.headers)
    assert (await api.get(f"{CALLS}/{call_id}")).json["call"]["cold"] is True
    call_id = await api.submit(await api.create_route(path="/typed", format="json"))
    await api.finish(call_id, result=b"<p>", response_headers={"content-type": ["text/html"]})
    answer = await api.get(f"{CALLS}/{call_id}/result")
    assert (answer.headers.getall("Content-Type"), answer.headers["Millrace-Status"]) == (
        ["text/html"],
        "200",
    )


async def test_a_log_of_a_million_lines_with_their_times_holds_nobody_up(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    marks = tuple((first * 500, 1000 + first) for first in range(2000))
    await api.finish(call_id, log=b"\n" * 2**20, log_marks=marks)
    longest_s, ended = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest_s
        while not ended.is_set():
            before_s = time.perf_counter()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.perf_counter() - before_s)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        answer = await api.get(f"{CALLS}/{call_id}/log?timestamps=1", headers={"Accept": "text/plain"})
        ended.set()
    assert answer.body.count(b"1970-01-01T00:00:0") == 2**20
    assert longest_s < 1
