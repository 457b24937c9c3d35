"""`millrace api` and `millrace worker`: the processes that `python -m api` and `-m worker` are, wherever they start."""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest

import deploy
from tests.millrace_command import MILLRACE, run
from tests.polling import eventually

CODE = Path(deploy.__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with other packages of these names."""
    for name in ("api", "worker"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(77)\n")
        (tmp_path / name / "__main__.py").touch()
    return tmp_path


@pytest.mark.parametrize("name", ["api", "worker"])
async def test_it_runs_in_order_beside_a_folder_of_its_name(
    name: str, folder: Path, database_url: str, redis_url: str
) -> None:
    port = _free_port()
    variable = "MILLRACE_PORT" if name == "api" else "MILLRACE_WORKER_PORT"
    environ = {
        "MILLRACE_DATABASE_URL": database_url,
        "MILLRACE_REDIS_URL": redis_url,
        "MILLRACE_QUEUE_NAME": f"command-{name}",
        "MILLRACE_DATA_DIR": str(folder),
        variable: str(port),
    }
    process = await _start(name, folder, environ)
    try:
        await eventually(lambda: _lives(process, port), timeout_s=30)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("name", ["api", "worker"])
async def test_bad_settings_are_one_line_and_exit_code_2(name: str) -> None:
    result = await run(name, port="many")
    assert result.exit_code == 2
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith(f"millrace {name}: MILLRACE_PORT")


async def _start(name: str, folder: Path, environ: dict[str, str]) -> Process:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_")}
    paths = {"PYTHONPATH": str(CODE)}  # as it is for who has installed it
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        errors = full if name == "api" else PIPE  # a log that can't be written fails nothing
        return await asyncio.create_subprocess_exec(
            *MILLRACE, name, cwd=folder, env=inherited | environ | paths, stdin=PIPE, stderr=errors
        )
    finally:
        os.close(full)


async def _lives(process: Process, port: int) -> bool:
    assert process.returncode is None, (await process.communicate())[1].decode()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/healthz") as answer,
        ):
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
