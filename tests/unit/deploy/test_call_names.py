"""How calls, payloads and durations are named on the command line."""

from pathlib import Path

import pytest

from tests.unit.deploy.stub_api import StubApi

ID = "01930000-0000-7000-8000-000000000001"
CALL = {"id": ID, "status": "success", "created_at": "2026-01-02T03:04:05.678Z", "app_name": "mine"}
OF_APP = f"/v1/apps/mine/calls/{ID}"


@pytest.fixture
def known(api: StubApi) -> StubApi:
    """An api that knows a call."""
    api.answers("GET", f"/v1/calls/{ID}", {"call": CALL})
    api.answers("GET", OF_APP, {"call": CALL})
    api.answers("DELETE", OF_APP, {"message": "Call cancelled"})
    api.answers("POST", f"{OF_APP}/retry", {"call_id": "c-2"})
    api.answers("GET", f"{OF_APP}/log", b"a line\n")
    api.answers("GET", f"{OF_APP}/result", b"bytes")
    return api


@pytest.mark.parametrize(
    "command", ["calls show", "calls result", "calls cancel", "calls retry", "logs", "logs --follow"]
)
def test_a_call_is_named_by_its_id_alone_or_with_its_app(known: StubApi, command: str) -> None:
    alone = known.run(*command.split(), ID)
    assert alone.exit_code == 0, alone.output
    assert known.asked[0].path == f"/v1/calls/{ID}"
    known.asked.clear()
    assert known.run(*command.split(), "mine", ID).stdout == alone.stdout
    assert all(asked.path.startswith(OF_APP) for asked in known.asked)
    for names in ((), ("mine", ID, "more")):
        assert known.run(*command.split(), *names).exit_code == 2


def test_an_id_that_nobody_knows_is_a_refusal(api: StubApi) -> None:
    api.refuses("GET", f"/v1/calls/{ID}", 404, "Call not found", "call_not_found")
    result = api.run("calls", "show", ID)
    assert (result.exit_code, result.stderr) == (1, "✗ Call not found (404 call_not_found)\n")


def test_a_log_that_is_not_there_yet_is_told_from_one_that_is_none(known: StubApi) -> None:
    known.refuses("GET", f"{OF_APP}/log", 404, "Call log not found", "call_log_not_found")
    assert "Call log not found" in known.run("logs", "mine", ID).stderr
    known.answers("GET", OF_APP, {"call": CALL | {"status": "running"}})
    running = known.run("logs", "mine", ID)
    assert (running.exit_code, "is running" in running.stderr, "--follow" in running.stderr) == (
        1,
        True,
        True,
    )


def test_a_payload_comes_from_a_file_or_standard_input(api: StubApi, tmp_path: Path) -> None:
    api.answers("POST", "/r/mine/up", b"")
    payload = b"\x00\xff any bytes\n"
    (tmp_path / "data").write_bytes(payload)
    for data, given in ((f"@{tmp_path}/data", b""), ("-", payload), ("@-", b"")):
        result = api.run("call", "mine", "/up", "--data", data, payload=given)
        if data == "@-":
            assert (result.exit_code, "--data -" in result.stderr) == (2, True)
        else:
            assert (result.exit_code, api.asked[-1].body) == (0, payload)
    missing = api.run("call", "mine", "/up", "--data", f"@{tmp_path}/none")
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("1h30m", 5400), ("7d", 604800)],
)
def test_durations_are_seconds_or_have_units(api: StubApi, text: str, seconds: int) -> None:
    api.answers("POST", "/v1/apps/mine/calls", {"call_id": "c"}, status=202)
    api.run("call", "mine", "/up", "--delay", text, "--timeout", text)
    assert (api.asked[0].json["delay"], api.asked[0].json["timeout"]) == (seconds, seconds)
    api.answers("POST", "/v1/apps/mine/routes", {"route": {}})
    api.run("routes", "create", "mine", "/up", "img", "--timeout", text, "--retry-backoff", text)
    assert (api.asked[1].json["route"]["timeout"], api.asked[1].json["route"]["retry"]["backoff"]) == (
        seconds,
        seconds,
    )


@pytest.mark.parametrize("text", ["soon", "1.5h", "h", "1w", "1h 30m", ""])
def test_what_is_no_duration_is_refused(api: StubApi, text: str) -> None:
    result = api.run("call", "mine", "/up", "--delay", text)
    assert (result.exit_code, api.asked) == (2, [])
    assert "15m" in result.stderr
