"""`millrace call`: what is asked for, what is printed where, and with which exit code it ends."""

import asyncio
import base64
import json
import os
import signal
from pathlib import Path

import pytest
from aiohttp import web

from tests.millrace_command import start as start_command
from tests.polling import eventually
from tests.unit.deploy.stub_api import StubApi

CALLS = "/v1/apps/mine/calls"
ONE = f"{CALLS}/c-1"


def record(status: str, **members: object) -> dict[str, object]:
    return {"call": {"id": "c-1", "status": status, "created_at": "2026-01-02T03:04:05.678Z", **members}}


def submitted(api: StubApi, *ends: dict[str, object], log: bytes = b"") -> None:
    """Take a call, whose states are these one after the other."""
    api.answers("POST", CALLS, {"call_id": "c-1"}, 202)
    api.answers("GET", ONE, list(ends))
    api.answers("GET", f"{ONE}/log", log)
    api.answers("GET", f"{ONE}/result", b"\x00the result")


def test_a_sync_answer_is_printed_byte_for_byte(api: StubApi) -> None:
    api.answers("POST", "/r/mine/up", b"\xff\x00answer")
    result = api.run("call", "mine", "/up", "-H", "X-A: 1", payload=b"\x01\x02")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, b"\xff\x00answer", "")
    assert (api.asked[0].body, api.asked[0].headers["X-A"]) == (b"\x01\x02", "1")


def test_the_payload_is_data_a_file_or_standard_input(api: StubApi, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xfffile")
    for options, payload in (
        (["--data", "text"], b"text"),
        (["--data", ""], b""),
        (["--file", str(tmp_path / "file")], b"\xfffile"),
        (["--file", "-"], b"stdin"),
        ([], b"stdin"),
    ):
        api.run("call", "mine", "/up", *options, payload=b"stdin")
        assert api.asked[-1].body == payload


def test_an_async_route_answers_an_id(api: StubApi) -> None:
    api.answers("POST", "/r/mine/up", {"call_id": "c-1"}, 202, Fn_call_id="c-1")
    assert api.run("call", "mine", "/up").stdout == "c-1\n"
    api.answers("POST", "/r/mine/up", {"call_id": "of the function's"}, 202, Fn_call_id="c-1")
    assert "of the function's" in api.run("call", "mine", "/up").stdout


def test_a_sync_call_that_fails_is_exit_code_1(api: StubApi) -> None:
    api.refuses("POST", "/r/mine/up", 502, "container failed", "function_failed", Fn_call_id="c-1")
    result = api.run("call", "mine", "/up")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "✗ container failed (502 function_failed), call c-1\n"
    api.answers("POST", "/r/mine/up", b"its own words", 418, Fn_call_id="c-1")
    result = api.run("call", "mine", "/up")
    assert (result.exit_code, result.stdout) == (1, "its own words")
    assert result.stderr == "✗ the function answered 418, call c-1\n"


def test_options_of_async_calls_make_one(api: StubApi) -> None:
    submitted(api, record("success"))
    for options, members in (
        (["--async"], {}),
        (["--priority", "2"], {"priority": 2}),
        (["--delay", "0"], {"delay": 0}),
        (["--timeout", "9", "--idempotency-key", "k"], {"timeout": 9, "idempotency_key": "k"}),
        (["--async", "-H", "X-A: 1"], {"headers": {"X-A": ["1"]}}),
    ):
        result = api.run("call", "mine", "/up", *options, payload=b"\xff")
        assert (result.exit_code, result.stdout) == (0, "c-1\n")
        payload = base64.b64encode(b"\xff").decode()
        assert api.asked[-1].json == {"path": "/up", "headers": {}, "payload_base64": payload} | members
    assert json.loads(api.run("call", "mine", "/up", "--async", "--json").stdout) == {"call_id": "c-1"}


def test_who_waits_gets_the_log_beside_and_the_result_at_the_end(api: StubApi) -> None:
    submitted(api, record("running"), record("success"), log=b"\xfflog\n")
    result = api.run("call", "mine", "/up", "--wait")
    assert (result.exit_code, result.stdout_bytes) == (0, b"\x00the result")
    assert result.stderr_bytes == b"call c-1\n\xfflog\n"
    follow = [asked.query for asked in api.asked if asked.path == f"{ONE}/log"]
    assert follow == [{"follow": "1"}]
    assert json.loads(api.run("call", "mine", "/up", "--wait", "--json").stdout) == record("success")


def test_a_call_that_fails_says_why(api: StubApi) -> None:
    failed = record("error", reason="bad_exit", detail="oom_killed", exit_code=137, error="too much memory")
    submitted(api, failed)
    result = api.run("call", "mine", "/up", "--wait")
    assert (result.exit_code, result.stdout) == (1, "")
    said = "✗ call c-1 ended with error (bad_exit, oom_killed): too much memory"
    assert result.stderr.splitlines()[-1] == said
    result = api.run("call", "mine", "/up", "--wait", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, failed)


def test_a_log_that_can_not_be_followed_is_no_reason_to_leave(api: StubApi) -> None:
    submitted(api, record("success"))
    api.refuses("GET", f"{ONE}/log", 503, "Too many", "too_many_followers")
    result = api.run("call", "mine", "/up", "--wait")
    assert (result.exit_code, result.stdout_bytes) == (0, b"\x00the result")
    assert "Too many" in result.stderr


def test_an_api_that_is_away_for_a_while_is_asked_again(
    api: StubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.following.PAUSE_S", 0.01)
    submitted(api)
    times = iter(range(10))

    async def answer(request: web.Request) -> web.Response:
        match next(times):
            case 0:
                assert request.transport
                request.transport.close()
                return web.Response()
            case 1:
                return web.Response(status=503)
        return web.json_response(record("success"))

    api.handles("GET", ONE, answer)
    assert api.run("call", "mine", "/up", "--wait").exit_code == 0
    monkeypatch.setattr("deploy.cli.following.AWAY_S", 0.0)
    api.refuses("GET", ONE, 503, "Too many", "too_many_followers")
    assert api.run("call", "mine", "/up", "--wait").exit_code == 1
    api.refuses("GET", ONE, 404, "Call not found", "call_not_found")
    assert api.run("call", "mine", "/up", "--wait").exit_code == 1


async def test_ctrl_c_leaves_a_call_that_is_followed(api: StubApi) -> None:
    async def forever(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    submitted(api)
    api.handles("GET", ONE, forever)
    process = await start(api, "--wait", "--data", "")
    await eventually(lambda: any(asked.path == ONE for asked in api.asked), timeout_s=20)
    assert await interrupted(process) == (130, b"", b"call c-1\n")


async def test_ctrl_c_leaves_a_call_whose_payload_is_awaited(api: StubApi) -> None:
    process = await start(api)
    await eventually(lambda: _reads(process.pid), timeout_s=20)
    assert await interrupted(process) == (130, b"", b"")
    assert not api.asked


async def start(api: StubApi, *options: str) -> asyncio.subprocess.Process:
    return await start_command("--url", api.url, "call", "mine", "/up", *options)


async def interrupted(process: asyncio.subprocess.Process) -> tuple[int | None, bytes, bytes]:
    """How it ended after Ctrl-C, its input still open, and what it printed."""
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(20):
        printed = await process.stdout.read(), await process.stderr.read()
        return await process.wait(), *printed


async def test_who_stops_reading_stops_the_command(api: StubApi) -> None:
    page = {"next_cursor": "more", "apps": [{"name": "mine"}]}
    api.answers("GET", "/v1/apps", page)
    for options in ((), ("--json",)):
        process = await start_command("--url", api.url, "apps", "list", *options)
        assert process.stdout
        assert process.stderr
        async with asyncio.timeout(20):
            await process.stdout.readline()
            process.stdout._transport.close()  # type: ignore[attr-defined]
            assert await process.stderr.read() == b""
            assert await process.wait() == 1


def _reads(pid: int) -> bool:
    """Whether the process waits for its standard input."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith(f"{_READ} 0x0 ")


_READ = {"x86_64": 0, "aarch64": 63}[os.uname().machine]
