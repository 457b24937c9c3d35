"""What a person sees: nothing of a user's text acts on the terminal, and it fits."""

import json
import re
from datetime import UTC, datetime

import pytest
from aiohttp import web

from deploy.cli.control import HarmlessStream
from tests.on_terminal import run_on_terminal
from tests.unit.deploy.stub_api import StubApi

OURS = re.compile(r"\x1b\[[0-9;]*m")  # the colours of the command line itself
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eabc\x7f\x08\rover"
RAW = EVIL.encode() + b"\xff\x9b\ttab\nline\r\n"
CALLS = "/v1/apps/mine/calls"
AT = "2026-01-02T03:04:05.678Z"
CALL = {
    "id": "01930000-0000-7000-8000-000000000001",
    "status": "error",
    "reason": "bad_exit",
    "detail": "exit_code",
    "exit_code": 3,
    "error": EVIL,
    "app_name": "mine",
    "path": f"/up{EVIL}",
    "created_at": AT,
    "started_at": AT,
    "completed_at": AT,
    "headers": {"X-Evil": [EVIL]},
    EVIL: EVIL,
}


@pytest.fixture
def evil(api: StubApi) -> StubApi:
    """An api whose every answer is full of control characters."""
    api.answers("GET", f"{CALLS}/c", {"call": CALL})
    api.answers("GET", f"{CALLS}/c/log", RAW)
    api.answers("GET", f"{CALLS}/c/result", RAW)
    api.answers("GET", CALLS, {"calls": [CALL]})
    api.answers("GET", "/v1/apps", {"apps": [{"name": EVIL, "config": {EVIL: EVIL}}]})
    api.answers("POST", "/r/mine/up", RAW)
    api.answers("POST", "/r/mine/bad", RAW, status=502, Fn_call_id="c")
    api.answers("POST", CALLS, {"call_id": "c"}, status=202)
    api.answers("DELETE", f"{CALLS}/c", {"message": EVIL})
    api.refuses("POST", f"{CALLS}/c/retry", 409, EVIL, EVIL)
    api.answers("GET", f"{CALLS}/broken", b"\x1b[2J<html>", status=500)
    return api


@pytest.mark.parametrize(
    "command",
    [
        "calls result mine c",
        "calls show mine c",
        "calls show mine c --json",
        "calls show mine broken",
        "calls list mine",
        "calls cancel mine c",
        "calls retry mine c",
        "logs mine c",
        "logs mine c --follow",
        "apps list",
        "call mine /up",
        "call mine /bad",
        "call mine /up --wait",
    ],
)
def test_nothing_of_a_user_acts_on_a_terminal(evil: StubApi, command: str) -> None:
    seen = run_on_terminal(*command.split(), url=evil.url)
    assert len(seen.text) > 5
    assert ACTIVE.findall(OURS.sub("", seen.text)) == []


def test_tab_newline_and_letters_pass_and_the_rest_is_shown(evil: StubApi) -> None:
    text = run_on_terminal("calls", "result", "mine", "c", url=evil.url).text
    assert text == "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eabc\\x7f\\x08\\rover\\xff\\x9b\ttab\nline\n"


def test_a_pipe_gets_the_bytes(evil: StubApi) -> None:
    for command in ("calls result mine c", "logs mine c", "logs mine c --follow", "call mine /up"):
        assert evil.run(*command.split()).stdout_bytes == RAW


def test_pieces_are_made_harmless_as_a_whole() -> None:
    stream = HarmlessStream()
    raw = "é\r\n\x1b\u202e\r€".encode() + b"\xff"
    assert "".join(stream.feed(raw[at : at + 1]) for at in range(len(raw))) == "é\n\\x1b\\u202e\\r€\\xff"


def test_no_color_is_heeded(evil: StubApi) -> None:
    assert "\x1b" in run_on_terminal("apps", "list", url=evil.url).text
    for others in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for command in ("apps list", "calls show mine c", "calls retry mine c"):
            assert "\x1b" not in run_on_terminal(*command.split(), url=evil.url, others=others).text


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_tables_and_members_fit_a_terminal(api: StubApi, columns: int) -> None:
    call = CALL | {"path": "/upper", "error": "a long story " * 20, "id": CALL["id"]}
    del call[EVIL]
    worker = {
        "incarnation": CALL["id"],
        "host": "a-machine",
        "slots": 4,
        "memory_mb": 1024,
        "started_at": AT,
        "heartbeat_at": datetime.now(UTC).isoformat(),
        "is_live": True,
        "running": [{"id": CALL["id"], "app_name": "mine", "path": "/upper", "attempt": 1, "claimed_at": AT}],
    }
    api.answers("GET", CALLS, {"calls": [call, call | {"status": "success", "reason": None, "detail": ""}]})
    api.answers("GET", f"{CALLS}/c", {"call": call})
    api.answers("GET", "/v1/workers", {"workers": [worker]})
    api.answers("GET", "/v1/dead", {"calls": [call]})
    for command in ("calls list mine", "workers", "dead list", "calls show mine c"):
        text = OURS.sub("", run_on_terminal(*command.split(), columns=columns, url=api.url).text)
        assert [line for line in text.splitlines() if len(line) > columns] == []
        assert str(CALL["id"]) in text
        assert "2026-01-02" in text
    piped = api.run("calls", "list", "mine").stdout.splitlines()
    assert len(piped) == 3


def test_json_stays_json_on_a_terminal(api: StubApi) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=json.dumps({"call": CALL}).encode())

    api.handles("GET", f"{CALLS}/c", answer)
    text = run_on_terminal("--json", "calls", "show", "mine", "c", url=api.url).text
    assert json.loads(text) == {"call": CALL}
