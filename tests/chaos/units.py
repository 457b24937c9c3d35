"""The processes of a cluster, each kept running: one that dies is started again after 0.1 s, as systemd would."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp

from deploy.local.child import LAUNCHER

RESTART_S = 0.1
STOP_S = 60.0
TAIL_BYTES = 6000


class Child(NamedTuple):
    """A worker's child process."""

    pid: int
    incarnation: str


class Unit:
    """``python -m <module>`` with this environment. Its output is appended to *log*."""

    def __init__(self, name: str, module: str, port: int, environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.starts = 0
        self._module = module
        self._environ = environ
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now; None between two."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it, and again whenever it ends, until ``stop``."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-I",
                    "-S",
                    LAUNCHER,
                    _order(),
                ),  # it ends in order when the tests are killed
                *(sys.executable, "-m", self._module),
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            await self._process.wait()
            await asyncio.sleep(RESTART_S)
            await self._spawn()

    async def is_ready(self, http: aiohttp.ClientSession) -> bool:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(f"{self.url}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as reply:
                return reply.status == 200
        return False

    def kill(self) -> None:
        """End it at once, by kill -9."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> int | None:
        """End it in order, for good; its exit code."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    async def restart(self) -> int | None:
        """End it in order and start it again; its exit code."""
        exit_code = await self.stop()
        await self.start()
        return exit_code

    def tail(self) -> str:
        """The last that it said."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")


class WorkerUnit(Unit):
    """A worker: a supervisor, which is the unit's process, and its child."""

    def child(self) -> Child | None:
        """The child of the supervisor that runs now, if it has one that knows who it is."""
        if self.pid is None:
            return None
        with suppress(OSError):
            for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                if incarnation := incarnation_of(int(pid)):
                    return Child(int(pid), incarnation)
        return None


def _order() -> str:
    """Run as we do, and get SIGTERM when the tests end."""
    return json.dumps(
        {
            "parent": os.getpid(),
            "signal": int(signal.SIGTERM),
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "reach": [],
            "binds_low_ports": False,
            "blocked": [],
        }
    )


def incarnation_of(pid: int) -> str:
    """The incarnation that this process was started as; nothing if it is no child of a supervisor, or gone."""
    with suppress(OSError):
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "--incarnation" in arguments:
            return arguments[arguments.index("--incarnation") + 1]
    return ""
