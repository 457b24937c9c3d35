"""What commands ask an api for, how they show its answers, and how they fail."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from deploy.cli import main
from deploy.cli.terminal import printable
from tests.unit.deploy.stub_api import StubApi, run

AT = "2026-01-02T03:04:05.678Z"
CALL = {
    "id": "c-1",
    "status": "error",
    "reason": "bad_exit",
    "detail": "exit_code",
    "exit_code": 3,
    "app_name": "mine",
    "path": "/up",
    "priority": 1,
    "attempt": 2,
    "created_at": AT,
    "started_at": AT,
    "completed_at": "2026-01-02T03:04:07.178Z",
}
ROUTE = {
    "app_name": "mine",
    "path": "/up",
    "image": "me/up:1",
    "type": "async",
    "format": "default",
    "memory": 64,
    "timeout": 30,
    "config": {"A": "1"},
    "public": True,
}
APP = {"name": "mine", "config": {"A": "1"}, "created_at": AT, "updated_at": AT}
WORKER = {
    "incarnation": "w-1",
    "host": "here",
    "slots": 4,
    "memory_mb": 1024,
    "network": "open",
    "network_problem": "nft is not installed",
    "started_at": AT,
    "heartbeat_at": AT,
    "is_live": True,
    "running": [{"id": "c-1", "app_name": "mine", "path": "/up", "attempt": 1, "claimed_at": AT}],
}
CALLS = "/v1/apps/mine/calls"

# The command, what it asks, what the api answers, and what is shown of that.
SHOWN: list[tuple[str, str, str, Any, list[str]]] = [
    ("apps list", "GET", "/v1/apps", {"next_cursor": "", "apps": [APP]}, ["mine", "2026-01-02 03:04:05"]),
    ("apps show mine", "GET", "/v1/apps/mine", {"app": APP}, ["config.A", "1", AT]),
    ("apps config mine", "GET", "/v1/apps/mine", {"app": APP}, ["config.A"]),
    ("apps create mine", "POST", "/v1/apps", {"app": APP}, ["config.A"]),
    (
        "routes list mine",
        "GET",
        "/v1/apps/mine/routes",
        {"routes": [ROUTE]},
        ["/up", "me/up:1", "64 MB", "anybody"],
    ),
    (
        "routes show mine /up",
        "GET",
        "/v1/apps/mine/routes/up",
        {"route": ROUTE},
        ["image", "me/up:1", "true"],
    ),
    ("routes create mine /up me/up:1", "POST", "/v1/apps/mine/routes", {"route": ROUTE}, ["me/up:1"]),
    ("routes update mine up", "PATCH", "/v1/apps/mine/routes/up", {"route": ROUTE}, ["me/up:1"]),
    ("calls list mine", "GET", CALLS, {"calls": [CALL]}, ["c-1", "error (bad_exit, exit code 3)", "1.50 s"]),
    ("calls show mine c-1", "GET", f"{CALLS}/c-1", {"call": CALL}, ["reason", "bad_exit", AT]),
    (
        "calls cancel mine c-1",
        "DELETE",
        f"{CALLS}/c-1",
        {"message": "Call cancelled", "call": CALL},
        ["Call cancelled"],
    ),
    ("calls retry mine c-1", "POST", f"{CALLS}/c-1/retry", {"call_id": "c-2", "parent_id": "c-1"}, ["c-2"]),
    ("dead list", "GET", "/v1/dead", {"next_cursor": "", "calls": [CALL]}, ["c-1", "mine", "/up"]),
    ("dead requeue c-1", "POST", "/v1/dead/requeue", {"requeued": 1, "has_more": False}, ["1 requeued"]),
    ("dead purge c-1", "POST", "/v1/dead/purge", {"purged": 1, "has_more": False}, ["1 purged"]),
    (
        "workers",
        "GET",
        "/v1/workers",
        {"workers": [WORKER]},
        ["w-1", "live", "4", "1024 MB", "open", "nft is not", "mine/up"],
    ),
    ("logs mine c-1", "GET", f"{CALLS}/c-1/log", b"a line\n", ["a line"]),
]


@pytest.mark.parametrize(("command", "method", "path", "answer", "shown"), SHOWN)
def test_an_answer_is_shown_and_as_json_it_is_the_apis_own(
    api: StubApi, command: str, method: str, path: str, answer: Any, shown: list[str]
) -> None:
    api.answers(method, path, answer)
    result = api.run(*command.split(), token="mr_secret")
    assert (result.exit_code, result.stderr) == (0, "")
    for text in shown:
        assert text in result.stdout
    assert api.asked[0].headers["Authorization"] == "Bearer mr_secret"
    as_json = api.run(*command.split(), "--json")
    assert as_json.exit_code == 0
    if isinstance(answer, dict):
        assert json.loads(as_json.stdout) == answer


@pytest.mark.parametrize(("command", "method", "path", "_answer", "_shown"), SHOWN)
def test_a_refusal_is_one_line_and_exit_code_1(
    api: StubApi, command: str, method: str, path: str, _answer: Any, _shown: Any
) -> None:
    api.refuses(method, path, 404, "Nothing there", "not_there")
    result = api.run(*command.split())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "✗ Nothing there (404 not_there)\n"


@pytest.mark.parametrize("command", [command for command, *_ in SHOWN])
def test_no_api_is_exit_code_3(command: str) -> None:
    result = run("http://127.0.0.1:1", *command.split())
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (3, "", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("apps", "create"),
        ("apps", "config", "mine", "no-separator"),
        ("apps", "config", "mine", "=value"),
        ("apps", "show", ".."),
        ("calls", "show", "mine", ""),
        ("calls", "cancel", "mine", ".."),
        ("routes", "create", "mine", "/up", "img", "--type", "other"),
        ("routes", "create", "mine", "/up", "img", "--memory", "much"),
        ("routes", "create", "mine", "/up", "img", "--header", "no colon"),
        ("call", "mine", "/up", "--data", "x", "--file", "-"),
        ("call", "mine", "/up", "--file", "/does/not/exist"),
        ("calls", "list", "mine", "--status", "unknown"),
        ("calls", "list", "mine", "--from", "yesterday"),
        ("calls", "list", "mine", "--limit", "0"),
        ("logs", "mine", "c-1", "--follow", "--timestamps"),
        ("dead", "requeue"),
        ("dead", "purge", "c-1", "--all"),
        ("completion", "tcsh"),
    ],
)
def test_what_makes_no_sense_is_exit_code_2_and_asks_nothing(
    api: StubApi, arguments: tuple[str, ...]
) -> None:
    result = api.run(*arguments)
    assert (result.exit_code, result.stdout, api.asked) == (2, "", [])
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("body", [b"<html>", b'{"error": 1}', b"", b"[]"])
def test_an_answer_that_is_not_the_apis_is_one_line(api: StubApi, body: bytes) -> None:
    for status in (200, 302, 502):
        api.answers("GET", "/v1/apps", body, status)
        result = api.run("apps", "list")
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_every_field_of_a_route_can_be_set(api: StubApi) -> None:
    api.answers("POST", "/v1/apps/mine/routes", {"route": ROUTE})
    api.run(
        *"routes create mine /up me/up:1 --type async --format json --memory 64 --timeout 9 --idle-timeout 8".split(),
        *"-c A=1 -c B=x=y --public --writable-root --json-framing line --body-encoding base64 --max-age 0".split(),
        *"--retry-attempts 3 --retry-backoff 2 --retry-backoff-max 9 --retry-on timeout --retry-on killed".split(),
        *("-H", "X-One: a", "-H", "X-One: b: c", "-H", "X-Two:"),
    )
    assert api.asked[0].json == {
        "route": {
            "path": "/up",
            "image": "me/up:1",
            "type": "async",
            "format": "json",
            "memory": 64,
            "timeout": 9,
            "idle_timeout": 8,
            "config": {"A": "1", "B": "x=y"},
            "public": True,
            "writable_root": True,
            "json_framing": "line",
            "body_encoding": "base64",
            "max_age": 0,
            "retry": {"max_attempts": 3, "backoff": 2, "backoff_max": 9, "on": ["timeout", "killed"]},
            "headers": {"X-One": ["a", "b: c"], "X-Two": []},
        }
    }


def test_config_comes_from_a_file_too_so_that_no_secret_is_on_a_command_line(
    api: StubApi, tmp_path: Path
) -> None:
    api.answers("POST", "/v1/apps/mine/routes", {"route": ROUTE})
    for method, path in (("POST", "/v1/apps"), ("PATCH", "/v1/apps/mine")):
        api.answers(method, path, {"app": APP})
    (tmp_path / "config").write_text("# of the shop\nKEY=s=cret\n\nA=of the file\n")
    for command in ("routes create mine /up img -c A=1", "apps create mine -c A=1", "apps config mine A=1"):
        assert api.run(*command.split(), "--config-file", f"{tmp_path}/config").exit_code == 0
        given = api.asked[-1].json.get("route") or api.asked[-1].json["app"]
        assert given["config"] == {"KEY": "s=cret", "A": "1"}
    api.run("apps", "create", "mine", "--config-file", "-", payload=b"KEY=x\n")
    assert api.asked[-1].json["app"]["config"] == {"KEY": "x"}
    for bad in (b"no separator", b"\xff=1"):
        assert api.run("apps", "create", "mine", "--config-file", "-", payload=bad).exit_code == 2


def test_an_update_says_only_what_it_changes(api: StubApi) -> None:
    api.answers("PATCH", "/v1/apps/mine/routes/", {"route": ROUTE})
    api.run("routes", "update", "mine", "/", "--no-public", "--config", "A=")
    assert api.asked[0].json == {"route": {"public": False, "config": {"A": ""}}}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a b", "/a%20b"),
        ("a/../../../..", "/"),
        ("/../../other", "/other"),
        ("/a//b/", "/a/b"),
        ("/é", "/%C3%A9"),
    ],
)
def test_a_path_leads_nowhere_else(api: StubApi, path: str, asked: str) -> None:
    for command, of in (("delete", "DELETE"), ("show", "GET")):
        api.run("routes", command, "mine", path)
        assert api.asked[-1][:2] == (of, f"/v1/apps/mine/routes{asked}")
    api.run("call", "mine", path)
    assert api.asked[-1].path == f"/r/mine{asked}"


def test_names_are_quoted(api: StubApi) -> None:
    api.run("apps", "delete", "../x?y#z", "--yes")
    assert api.asked[0][:2] == ("DELETE", "/v1/apps/..%2Fx%3Fy%23z")


def test_calls_are_listed_by_all_that_the_api_filters_by(api: StubApi) -> None:
    api.answers("GET", CALLS, {"next_cursor": "", "calls": []})
    times = "--from 2026-01-31T12:00 --to 1767225600".split()
    result = api.run(
        "calls", "list", "mine", "--path", "/up", "--status", "queued", "--status", "running", *times
    )
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert api.asked[0].query == {
        "path": "/up",
        "status": "queued,running",
        "per_page": "30",
        "from_time": "1769860800",
        "to_time": "1767225600",
    }


def test_a_list_shows_a_page_or_all_of_them(api: StubApi) -> None:
    long = CALL | {"id": "a-very-long-id"}
    pages = [{"next_cursor": "x", "calls": [CALL]}, {"next_cursor": "", "calls": [long]}]
    api.answers("GET", CALLS, list(pages))
    first = api.run("calls", "list", "mine", "--limit", "1")
    assert len(first.stdout.splitlines()) == 2
    assert "--all" in first.stderr
    api.answers("GET", CALLS, list(pages))
    every = api.run("calls", "list", "mine", "--all")
    header, *rows = every.stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["c-1", "a-very-long-id"]
    assert (header.split()[0], every.stderr) == ("call", "")
    api.answers("GET", CALLS, list(pages))
    lines = api.run("calls", "list", "mine", "--all", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == pages
    assert [asked.query.get("cursor") for asked in api.asked[-2:]] == [None, "x"]


def test_dead_calls_are_moved_until_none_is_left(api: StubApi) -> None:
    for action, count in (("requeue", "requeued"), ("purge", "purged")):
        more, last = {count: 1000, "has_more": True}, {count: 7, "has_more": False}
        api.answers("POST", f"/v1/dead/{action}", [more, last])
        result = api.run("dead", action, "--all", *(["--yes"] if action == "purge" else []))
        assert (result.exit_code, result.stdout) == (0, f"1007 {count}\n")
        assert [asked.json for asked in api.asked[-2:]] == [{"all": True}] * 2
    api.answers("POST", "/v1/dead/requeue", {"requeued": 0, "has_more": True})
    full = api.run("dead", "requeue", "--app", "mine")
    assert (full.stdout, "no room" in full.stderr) == ("0 requeued\n", True)


def test_much_is_deleted_only_when_it_is_meant(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answers("DELETE", "/v1/apps/mine", {"message": "App deleted"})
    api.answers("POST", "/v1/dead/purge", {"purged": 1, "has_more": False})
    monkeypatch.setattr("deploy.cli.asking._is_terminal", lambda: True)
    for command in (
        ["apps", "delete", "mine"],
        ["dead", "purge", "--all"],
        ["dead", "purge", "--app", "mine"],
    ):
        api.asked.clear()
        for answer, exit_code in (("n\n", 1), ("\n", 1), ("", 130)):
            assert api.run(*command, payload=answer.encode()).exit_code == exit_code
        assert not api.asked
        assert api.run(*command, payload=b"y\n").exit_code == 0
        assert api.run(*command, "--yes").exit_code == 0
        assert len(api.asked) == 2


def test_a_log_is_text_or_json(api: StubApi) -> None:
    api.answers("GET", f"{CALLS}/c-1/log", b"\x1b[1mbytes\xff")
    result = api.run("logs", "mine", "c-1", "--timestamps")
    assert result.stdout_bytes == b"\x1b[1mbytes\xff"
    assert (api.asked[0].query, api.asked[0].headers["Accept"]) == ({"timestamps": "1"}, "text/plain, */*")
    api.run("logs", "mine", "c-1", "--json")
    assert api.asked[1].headers["Accept"] == "application/json"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str, api: StubApi) -> None:
    result = api.run("completion", shell)
    assert result.exit_code == 0
    assert "_MILLRACE_COMPLETE" in result.stdout


def test_what_the_api_ignored_is_said_on_standard_error(api: StubApi) -> None:
    told = [{"field": "route.typ", "message": "Unknown field, ignored. Did you mean type?\u001b[2J"}]
    api.answers("PATCH", "/v1/apps/mine/routes/up", {"route": ROUTE, "warnings": told})
    result = api.run("routes", "update", "mine", "/up", "--memory", "64", "--json")
    assert "warning: route.typ: Unknown field, ignored. Did you mean type??[2J" in result.stderr
    assert json.loads(result.stdout)["warnings"] == told
    told_of_query = {"Millrace-Warning": "Unknown query parameter: x."}
    api.answers("GET", "/v1/apps/mine", {"app": APP}, 200, **told_of_query)
    assert "warning: Unknown query parameter: x." in api.run("apps", "show", "mine").stderr


def test_what_is_shown_moves_no_terminal() -> None:
    assert printable("a\nb\x1b[2Jc\u202e") == "a b?[2Jc?"


def test_every_command_says_what_it_is_for_and_shows_an_example() -> None:
    for path, command in commands(main, ("millrace",)):
        assert command.help, path
        first = command.help.splitlines()[0]
        assert len(first) <= 110, path
        assert first.endswith("."), path
        if not isinstance(command, click.Group):
            assert f"{' '.join(path)}" in command.help, path


def commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found += commands(inner, (*path, name))
    return found
