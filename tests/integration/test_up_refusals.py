"""`millrace up` where it can not run: it says so before it starts anything."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.millrace_command import run, start_with


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_a_taken_port_is_found_before_anything_is_started(
    taken: int, free: int, tmp_path: Path
) -> None:
    for variable in ("port", "worker_port"):
        ports: dict[str, Any] = {"port": free, "worker_port": free} | {variable: taken}
        result = await run("up", "--demo", data_dir=tmp_path / "data", **ports)
        assert result.exit_code == 1
        assert f"127.0.0.1:{taken}" in result.output
        assert f"set MILLRACE_{variable.upper()}" in result.output
        assert not (tmp_path / "data").exists()


async def test_one_port_for_api_and_worker_is_refused(free: int, tmp_path: Path) -> None:
    result = await run("up", data_dir=tmp_path / "data", port=free, worker_port=free)
    assert (result.exit_code, "MILLRACE_WORKER_PORT" in result.output) == (1, True)
    assert not (tmp_path / "data").exists()


async def test_an_engine_that_can_not_be_used_is_found_before_anything_is_started(
    free: int, tmp_path: Path
) -> None:
    for address, said in (
        ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
        (f"unix://{tmp_path}/s", f"{tmp_path}/s"),
    ):
        process = await start_with({"DOCKER_HOST": address}, "up", data_dir=tmp_path / "data", port=free)
        async with asyncio.timeout(30):
            _, stderr = await process.communicate()
        assert process.returncode == 1
        (line,) = stderr.decode().splitlines()
        assert said in line
        assert "DOCKER_HOST" in line
        assert not (tmp_path / "data").exists()
