"""The command line where its streams are closed or full, and with bytes that are no UTF-8."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.millrace_command import MILLRACE
from tests.unit.deploy.stub_api import StubApi

CALLS = "/v1/apps/mine/calls"
CALL = {"id": "c", "status": "success", "created_at": "2026-01-02T03:04:05.678Z", "app_name": "mine"}


@pytest.fixture
def full(api: StubApi) -> StubApi:
    """An api with much to say."""
    api.answers("GET", "/v1/apps", {"apps": [{"name": f"app-{number}"} for number in range(5000)]})
    api.answers("GET", f"{CALLS}/c", {"call": CALL})
    api.answers("GET", f"{CALLS}/c/result", b"bytes\xff\n" * 50_000)
    api.answers("GET", f"{CALLS}/c/log", b"bytes\xff\n" * 50_000)
    return api


def shell(script: bytes | str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `millrace` is the command; its exit code is that of `millrace` in a pipe, too."""
    raw = script.encode() if isinstance(script, str) else script
    program = b'set -o pipefail; millrace() { %s "$@"; }; ' % shlex.join(MILLRACE).encode() + raw
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    return subprocess.run(
        ["bash", "-c", program], capture_output=True, env=variables | environ, timeout=60, check=False
    )


COMMANDS = ["apps list", "calls result mine c", "calls show mine c", "logs mine c --follow", "--help"]


@pytest.mark.parametrize(
    ("command", "to", "said"),
    [
        *((command, "> /dev/full", b"No space left on device") for command in COMMANDS),
        ("apps list", ">&-", b"Bad file descriptor"),
        ("calls result mine c", ">&-", b"Bad file descriptor"),
    ],
)
def test_output_that_can_not_be_written_is_one_line_and_exit_code_1(
    full: StubApi, command: str, to: str, said: bytes
) -> None:
    result = shell(f"millrace {command} {to}", MILLRACE_URL=full.url)
    assert (result.returncode, len(result.stderr.splitlines()), said in result.stderr) == (1, 1, True)


@pytest.mark.parametrize("command", ["apps list", "calls result mine c"])
def test_a_reader_that_has_enough_is_no_trouble_to_speak_of(full: StubApi, command: str) -> None:
    for buffered in ("", "1"):
        environ = {"MILLRACE_URL": full.url, "PYTHONUNBUFFERED": buffered}
        result = shell(f"millrace {command} | head -c 3", **environ)
        assert (len(result.stdout), result.stderr) == (3, b"")
        assert result.returncode == 1


def test_closed_standard_error_and_input_change_nothing_else(full: StubApi) -> None:
    full.answers("POST", "/r/mine/up", b"answer")
    shown = shell("millrace calls show mine c", MILLRACE_URL=full.url)
    closed = "<&- 2>&-"
    assert shell(f"millrace calls show mine c {closed}", MILLRACE_URL=full.url).stdout == shown.stdout
    refused = shell(f"millrace calls show mine other {closed}", MILLRACE_URL=full.url)
    assert (refused.returncode, refused.stdout) == (1, b"")
    called = shell("millrace call mine /up <&-", MILLRACE_URL=full.url)
    assert (called.returncode, called.stdout, called.stderr) == (0, b"answer", b"")
    assert shell("millrace calls show mine other 2> /dev/full", MILLRACE_URL=full.url).returncode == 1


@pytest.mark.parametrize(
    "command",
    [
        "apps show \udcff",
        "calls list mine --path /\udcff",
        "calls show mine \udcff",
        "routes show mine /\udcff",
        "routes create mine /up img --config A=\udcff",
        "routes create mine /up img --header A:\udcff",
        "call mine /\udcff --data x",
        "call mine /up --header A:\udcff --data x",
        "call mine /up --idempotency-key \udcff --data x",
        "apps list --url http://127.0.0.1:1/\udcff",
        "dead requeue \udcff",
        "tokens create \udcff --scope admin",
        "\udcff",
        "call mine /up --data @\udcff",
    ],
)
def test_an_argument_that_is_no_utf_8_is_told_in_words(full: StubApi, command: str) -> None:
    result = full.run(*command.split())
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2, 3)
    assert result.stderr.splitlines()[-1]


@pytest.mark.parametrize("environ", [{}, {"PYTHONIOENCODING": "ascii"}])
def test_any_bytes_may_be_a_payload_and_any_letters_be_printed(
    full: StubApi, environ: dict[str, str]
) -> None:
    full.answers("POST", "/r/mine/up", b"")
    full.answers("GET", "/v1/apps/mine", {"app": {"name": "ünï"}})
    assert (
        shell(rb"millrace call mine /up --data $'\xff\xc3'", MILLRACE_URL=full.url, **environ).returncode == 0
    )
    assert full.asked[-1].body == b"\xff\xc3"
    for command, code in (("apps show mine", 0), ("apps show other", 1)):
        result = shell(f"millrace {command}", MILLRACE_URL=full.url, **environ)
        assert (result.returncode, b"Traceback" in result.stderr) == (code, False)


def test_ctrl_c_while_the_command_is_being_loaded_is_quiet() -> None:
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'deploy.cli.up': os.kill(os.getpid(), signal.SIGINT)\n"
        "from deploy.command import main\n"
        "sys.meta_path.insert(0, Finder())\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, b"", b"")
