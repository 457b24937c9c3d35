"""Where the command line looks for an api, and what it says when there is none."""

import stat
from pathlib import Path
from typing import Any

import pytest

from common.settings import Settings
from deploy.cli.address import find_address, left_address
from tests.unit.deploy.stub_api import StubApi, invoke

LEFT = "http://127.0.0.1:8123"


def test_what_is_said_more_plainly_goes_first(tmp_path: Path) -> None:
    data = str(tmp_path)
    assert find_address("", Settings(data_dir=data)).url == "http://127.0.0.1:8080"
    with left_address(tmp_path, LEFT):
        assert find_address("", Settings(data_dir=data)).url == LEFT
        assert find_address("", Settings(data_dir=data, port=9)).url == "http://127.0.0.1:9"
        assert find_address("", Settings(data_dir=data, port=9, url="http://a:1")).url == "http://a:1"
        assert find_address("http://b:2", Settings(data_dir=data, url="http://a:1")).url == "http://b:2"
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_was_left_by_a_killed_one_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "api-address").write_text("http://127.0.0.1:7\n")
    with left_address(tmp_path, LEFT):
        assert find_address("", Settings(data_dir=str(tmp_path))).url == LEFT


@pytest.mark.parametrize(
    ("environ", "options", "said"),
    [
        (
            {"url": "http://127.0.0.1:1"},
            (),
            ["at http://127.0.0.1:1 ", "Connection refused", "MILLRACE_URL says"],
        ),
        ({"port": "1"}, (), ["at http://127.0.0.1:1 ", "MILLRACE_PORT"]),
        ({}, ("--url", "http://127.0.0.1:1"), ["at http://127.0.0.1:1 ", "--url says"]),
    ],
)
def test_where_no_api_answers_it_is_said_who_named_the_address(
    tmp_path: Path, environ: dict[str, str], options: tuple[str, ...], said: list[str]
) -> None:
    for arguments in (("apps", "list", *options), (*options, "tokens", "list")):
        variables: dict[str, Any] = {"data_dir": str(tmp_path)} | environ
        result = invoke(*arguments, **variables)
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (3, "", 1)
        assert [text for text in said if text not in result.stderr] == []


def test_an_address_left_behind_is_said_to_be(tmp_path: Path) -> None:
    with left_address(tmp_path, "http://127.0.0.1:1"):
        result = invoke("apps", "list", data_dir=str(tmp_path))
    assert (result.exit_code, f"left it in {tmp_path}/api-address" in result.stderr) == (3, True)


def test_the_address_by_the_environment(api: StubApi) -> None:
    api.answers("GET", "/v1/apps", {"apps": []})
    assert invoke("apps", "list", url=api.url).exit_code == 0
    assert invoke("apps", "list", url="nonsense").exit_code == 1


@pytest.mark.parametrize(
    "command",
    [
        "--json calls list mine",
        "calls --json list mine",
        "calls list mine --json",
        "--json calls list --json mine",
    ],
)
def test_json_and_url_stand_before_the_command_as_well_as_after_it(api: StubApi, command: str) -> None:
    api.answers("GET", "/v1/apps/mine/calls", {"calls": []})
    assert api.run(*command.split()).stdout == '{"calls": []}\n'
    for place in range(3):
        arguments = ["calls", "list", "mine"]
        arguments[place:place] = ["--url", api.url]
        assert invoke(*arguments).exit_code == 0


def test_json_before_a_command_without_it_is_refused(api: StubApi) -> None:
    for command in ("calls result mine c-1", "completion bash"):
        result = api.run("--json", *command.split())
        assert (result.exit_code, api.asked) == (2, [])
        assert "has no --json" in result.stderr
