"""SIGTERM to every process of `millrace up` at once, as systemd sends it: what runs ends first, and nothing is lost."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

import aiohttp
import asyncpg
import pytest

from deploy.local import LocalPostgres
from tests.e2e.test_up import Machine, machine
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE, shell_image

__all__ = ["machine", "shell_image"]
pytestmark = [pytest.mark.timeout(150), pytest.mark.usefixtures("docker")]

RUN_S = 4
BOUND_S = 40


async def test_a_signal_to_all_processes_lets_what_runs_end(machine: Machine, shell_image: str) -> None:
    process = await machine.up()
    await machine.ready(process)
    async with aiohttp.ClientSession(machine.url) as http:
        await create_routes(http)
        async with http.post("/r/app/async", data=b"x") as answer:
            call_id = (await answer.json())["call_id"]
        waiting = asyncio.create_task(answer_of(http, "/r/app/sync"))
        await eventually(lambda: is_running(http, call_id), timeout_s=20)
        async with http.post("/r/app/async", data=b"x", headers={"Millrace-Delay": "3600"}) as answer:
            later = (await answer.json())["call_id"]
        everyone = [process.pid, *descendants(process.pid)]
        for pid in everyone:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGTERM)
        async with asyncio.timeout(BOUND_S):
            output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        assert await waiting == (200, b"done\n"), output
    assert "redis ended" not in output, output
    assert not [pid for pid in everyone if Path(f"/proc/{pid}").exists()], output
    async with LocalPostgres(machine.data / "postgres") as postgres:
        connection = await asyncpg.connect(postgres.url)
        rows = await connection.fetch("SELECT id, type, status, attempt FROM calls")
        await connection.close()
    found = {
        (str(row["id"]) if row["type"] == "async" else "sync"): (row["status"], row["attempt"])
        for row in rows
    }
    assert found.pop(later)[0] == "delayed"
    assert found == {call_id: ("success", 1), "sync": ("success", 1)}, output


async def create_routes(http: aiohttp.ClientSession) -> None:
    script = {"SCRIPT": f"sleep {RUN_S}; echo done"}
    for type_ in ("async", "sync"):
        route = {"path": f"/{type_}", "type": type_, "image": SHELL_IMAGE, "config": script}
        async with http.post("/v1/apps/app/routes", json={"route": route}) as answer:
            assert answer.status == 200, await answer.text()


async def answer_of(http: aiohttp.ClientSession, path: str) -> tuple[int, bytes]:
    async with http.post(path) as answer:
        return answer.status, await answer.read()


async def is_running(http: aiohttp.ClientSession, call_id: str) -> bool:
    async with http.get(f"/v1/apps/app/calls/{call_id}") as answer:
        return bool((await answer.json())["call"].get("started_at"))


def descendants(pid: int) -> list[int]:
    """All processes that *pid* started, and those that they did."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [found for child in children for found in (child, *descendants(child))]
