"""The command line with a whole system: calls are followed, cancelled and retried by those who use it."""

import asyncio
import json
import os
import time

import pytest

from tests.e2e.system import FINAL, Json, System
from tests.millrace_command import Result, run, start
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


async def millrace(system: System, *arguments: str, payload: bytes = b"") -> Result:
    return await run(*arguments, payload=payload, port=system.port)


async def path_of(system: System, script: str, **fields: object) -> str:
    """A route whose function is this script, as the command line names it."""
    return (await system.create_route(script, **fields)).removeprefix("/r/e2e")


async def show(system: System, call_id: str) -> Json:
    shown = await millrace(system, "calls", "show", "e2e", call_id, "--json")
    return json.loads(shown.stdout)["call"]  # type: ignore[no-any-return]


async def test_a_call_is_followed_while_it_runs(shared_system: System) -> None:
    path = await path_of(shared_system, "echo one >&2; sleep 3; echo two >&2; echo the result")
    process = await start("call", "e2e", path, "--wait", "--data", "", port=shared_system.port)
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(60):
        call_id = (await process.stderr.readline()).decode().split()[-1]
        assert await process.stderr.readline() == b"one\n"
        assert (await shared_system.call(call_id))["status"] == "running"
        seen_at_s = time.monotonic()
        assert await process.stderr.read() == b"two\n"
        assert time.monotonic() - seen_at_s > 0.5, "the first line came before the second was written"
        assert await process.stdout.read() == b"the result\n"
        assert await process.wait() == 0
    assert (await millrace(shared_system, "logs", "e2e", call_id, "--follow")).stdout == b"one\ntwo\n"
    stamped = (await millrace(shared_system, "logs", "e2e", call_id, "--timestamps")).output.splitlines()
    assert [line.split()[-1] for line in stamped] == ["one", "two"]
    assert (await millrace(shared_system, "calls", "result", "e2e", call_id)).stdout == b"the result\n"


async def test_a_call_that_fails_is_exit_code_1_and_says_why(shared_system: System) -> None:
    path = await path_of(shared_system, "echo bad >&2; exit 7")
    result = await millrace(shared_system, "call", "e2e", path, "--wait")
    assert (result.exit_code, result.stdout) == (1, b"")
    assert "bad\n" in result.output
    assert "error (bad_exit, exit code 7)" in result.output.splitlines()[-1]
    sync = await path_of(shared_system, "exit 7", type="sync")
    result = await millrace(shared_system, "call", "e2e", sync)
    assert (result.exit_code, result.stdout, len(result.output.splitlines())) == (1, b"", 1)


async def test_any_bytes_go_in_and_come_out(shared_system: System) -> None:
    payload = os.urandom(1_000_000)
    path = await path_of(shared_system, "cat", type="sync")
    for options in ((), ("--wait",)):
        result = await millrace(shared_system, "call", "e2e", path, *options, payload=payload)
        assert (result.exit_code, result.stdout) == (0, payload)


async def test_a_running_call_is_seen_cancelled_and_retried(shared_system: System) -> None:
    path = await path_of(shared_system, "echo begun >&2; sleep 110", timeout=115)
    process = await start("call", "e2e", path, "--wait", "--data", "", port=shared_system.port)
    assert process.stderr
    async with asyncio.timeout(60):
        call_id = (await process.stderr.readline()).decode().split()[-1]
        assert await process.stderr.readline() == b"begun\n"
    workers = await millrace(shared_system, "workers")
    assert (workers.exit_code, call_id in workers.output, "live" in workers.output) == (0, True, True)
    listed = await millrace(shared_system, "calls", "list", "e2e", "--path", path, "--status", "running")
    assert call_id in listed.output
    assert (await millrace(shared_system, "calls", "retry", "e2e", call_id)).exit_code == 1, (
        "it has not ended"
    )
    cancelled = await millrace(shared_system, "calls", "cancel", "e2e", call_id)
    assert (cancelled.exit_code, cancelled.stdout) == (0, b"Cancellation requested\n")
    async with asyncio.timeout(60):
        said = await process.stderr.read()
        assert (await process.wait(), b"cancelled (client_request)" in said) == (1, True)
    retried = await millrace(shared_system, "calls", "retry", "e2e", call_id)
    new_id = retried.stdout.decode().strip()
    assert (await show(shared_system, new_id))["parent_id"] == call_id
    assert (await millrace(shared_system, "calls", "cancel", "e2e", new_id)).exit_code == 0

    async def has_ended() -> bool:
        return (await shared_system.call(new_id))["status"] in FINAL

    await eventually(has_ended, timeout_s=30)


async def test_the_same_key_is_the_same_call(shared_system: System) -> None:
    path = await path_of(shared_system, "cat")
    options = (
        "--idempotency-key",
        "once",
        "--delay",
        "60",
        "--timeout",
        "9",
        "--priority",
        "2",
        "--data",
        "x",
    )
    first = await millrace(shared_system, "call", "e2e", path, *options)
    again = await millrace(shared_system, "call", "e2e", path, *options)
    assert (first.exit_code, first.stdout) == (0, again.stdout)
    call = await show(shared_system, first.stdout.decode().strip())
    assert (call["priority"], call["delay"], call["timeout"]) == (2, 60, 9)
    waiting = await millrace(shared_system, "calls", "cancel", "e2e", call["id"])
    assert waiting.stdout == b"Call cancelled\n"
    other = await millrace(shared_system, "call", "e2e", path, *options[:-1], "y")
    assert (other.exit_code, "422" in other.output) == (1, True)
