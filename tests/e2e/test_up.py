"""`millrace up` as a person runs it: one command, Ctrl-C, the same again."""

import asyncio
import os
import re
import secrets
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGINT, SIGKILL

import pytest

from common.models.call import CallStatus
from deploy.cli.answers import ClientError
from deploy.cli.client import Client
from deploy.local.account import service_account
from tests.e2e.system import containers, free_port
from tests.millrace_command import MILLRACE, run
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(150), pytest.mark.usefixtures("docker")]


class Machine:
    """A data directory and ports of the test's own; every start is ended when the test is."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = f"http://127.0.0.1:{free_port()}"
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")
        }
        self._environ |= {
            "MILLRACE_DATA_DIR": str(data),
            "MILLRACE_PORT": self.url.rpartition(":")[2],
            "MILLRACE_WORKER_PORT": str(free_port()),
            "MILLRACE_QUEUE_NAME": f"up-{secrets.token_hex(4)}",
        }
        self.started: list[Process] = []

    async def up(self, *options: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *MILLRACE, "up", *options, stdout=PIPE, env=self._environ
        )
        self.started.append(process)
        return process

    async def ready(self, process: Process) -> None:
        """Wait until *process* says that it is ready."""
        assert process.stdout
        async with asyncio.timeout(60):
            async for line in process.stdout:
                if b"is ready at" in line:
                    return
        raise AssertionError("it ended before it was ready")

    async def end(self, process: Process) -> str:
        """Stop *process* as Ctrl-C does; what it still had to say."""
        process.send_signal(SIGINT)
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()


@pytest.fixture
async def machine(servers_directory: Path) -> AsyncIterator[Machine]:
    machine = Machine(servers_directory / f"up-{secrets.token_hex(4)}")
    yield machine
    for process in machine.started:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    shutil.rmtree(machine.data, ignore_errors=True)


async def test_the_demo_shows_each_call_in_the_order_of_its_priority(machine: Machine) -> None:
    others = set(await containers("millrace"))
    process = await machine.up("--demo", "--once")
    async with asyncio.timeout(120):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    calls = re.findall(r"^  [0-9a-f-]{36}  (\d) +(-|\d s) +(\w+)", output, re.MULTILINE)
    assert [status for _, _, status in calls] == [CallStatus.SUCCESS] * 7
    assert [int(priority) for priority, delay, _ in calls if delay == "-"] == [2, 2, 1, 1, 0, 0]
    assert len(re.findall(r"result +Hello, \w+!", output)) == 7
    assert len(re.findall(r"log +call [0-9a-f-]{36} greets \w+", output)) == 7
    assert re.findall(r"^  (cold|hot) +[0-9.]+ ms +Hello from call (\d)", output, re.MULTILINE) == [
        ("cold", "1"),
        ("hot", "2"),
    ]

    async def are_gone() -> bool:
        return set(await containers("millrace")) <= others

    await eventually(are_gone, timeout_s=15)


async def test_calls_that_wait_when_it_is_stopped_run_after_the_next_start(machine: Machine) -> None:
    process = await machine.up("--demo")
    await machine.ready(process)
    async with Client(machine.url) as client:
        call_id = await client.submit("demo", "/hello", b"Lynn", priority=1, delay_s=5)
    output = await machine.end(process)
    assert re.findall(r"✓ (\w+)", output) == ["worker", "api", "redis", "postgres"]
    again = await machine.up("--demo")
    await machine.ready(again)
    async with Client(machine.url) as client:
        await eventually(lambda: _has_ended(client, call_id), timeout_s=30)
        assert (await client.get_call("demo", call_id)).status == CallStatus.SUCCESS
        assert await client.get_result("demo", call_id) == "Hello, Lynn!\n"
    await machine.end(again)


async def test_an_api_that_is_killed_comes_back_and_a_paused_queue_is_said(machine: Machine) -> None:
    process = await machine.up()
    await machine.ready(process)
    found = await run("apps", "list", data_dir=machine.data)  # without an address
    assert found.exit_code == 0, found.output
    api = next(pid for pid in _children(process.pid) if b"-m\0api" in _command(pid))
    if os.geteuid() == 0:
        _runs_without_root(api)
    os.kill(api, SIGKILL)
    await eventually(lambda: _command(api) == b"")
    async with Client(machine.url) as client:
        await eventually(lambda: _answers(client), timeout_s=30)
        await client.ask("POST", "/v1/queue/pause")
    shown = await machine.end(process)
    assert f"{machine.url}/docs" in shown
    assert re.search(r"submit a call +\S*millrace call APP /ROUTE", shown)
    assert not (machine.data / "api-address").exists()
    paused = await machine.up("--demo", "--once")
    async with asyncio.timeout(30):
        output = (await paused.communicate())[0].decode()
    assert (paused.returncode, "Demo" in output) == (0, False)
    assert "the queue is paused" in output


async def test_ctrl_c_before_it_is_ready_is_exit_code_130(machine: Machine) -> None:
    process = await machine.up()
    assert process.stdout
    async with asyncio.timeout(60):
        while b"postgres" not in await process.stdout.readline():
            pass
        process.send_signal(SIGINT)
        output = (await process.communicate())[0].decode()
    assert process.returncode == 130
    assert output.splitlines()[-1] == "stopped before it was ready"
    assert "Traceback" not in output


async def _has_ended(client: Client, call_id: str) -> bool:
    return CallStatus((await client.get_call("demo", call_id)).status).is_final


async def _answers(client: Client) -> bool:
    try:
        return (await client.get_queue_state()).waiting >= 0
    except ClientError:
        return False


def _runs_without_root(api: int) -> None:
    """Assert that the api runs under the servers' account, without any capability; our code is where it can be read."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{api}/status").read_text().splitlines())
    assert status["Uid"].split() == [str(service_account().uid)] * 4
    assert status["Groups"].split() == []
    assert [status[kind] for kind in ("CapEff", "CapPrm", "CapAmb")] == ["0" * 16] * 3
    assert status["NoNewPrivs"] == "1"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
