"""A Docker Engine of the tests' own, to be killed: with data, state, containerd and socket apart from the machine's."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.load.cpu import family, processes
from tests.load.engine import Engine, EngineError
from tests.polling import eventually

START_S, STOP_S = 40.0, 20.0
TAIL_BYTES = 2000

# As where systemd runs both: the engine and its containerd are two services, and one outlives the other.
CONTAINERD = """\
version = 2
root = "{place}/containerd"
state = "{place}/containers"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{place}/containerd.sock"
"""


class Daemon:
    """A dockerd without a network. Needs root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.socket = str(directory / "docker.sock")
        self._containerd: Process
        self._dockerd: Process

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Daemon"]:
        """One that answers. At the end its containers, its mounts and its directory are gone."""
        directory = Path(tempfile.mkdtemp(prefix="millrace-engine-"))
        daemon = cls(directory)
        try:
            await daemon._start_containerd()
            try:
                await daemon.start()
                yield daemon
                await daemon._remove_containers()
            finally:
                for process in (daemon._dockerd, daemon._containerd):
                    await _stop(process)
        finally:
            await asyncio.to_thread(_remove, directory)

    async def start(self) -> None:
        """Start it, also after a kill, and wait until it answers. Raises EngineError if it does not."""
        place, (_, _, name) = self._directory, self._directory.name.rpartition("-")
        self._dockerd = await self._spawn(
            *("dockerd", f"--host=unix://{self.socket}", f"--pidfile={place / 'pid'}"),
            *(f"--data-root={place / 'data'}", f"--exec-root={place / 'exec'}"),
            *(f"--containerd={place / 'containerd.sock'}", f"--containerd-namespace={name}"),
            *("--bridge=none", "--iptables=false", "--ip6tables=false"),
        )
        try:
            await eventually(self._answers, START_S, interval_s=0.05)
        except AssertionError as error:
            said = (place / "log").read_bytes()[-TAIL_BYTES:].decode(errors="replace")
            raise EngineError(f"dockerd does not answer: {said}") from error

    async def kill(self) -> None:
        """End it at once, by kill -9. Its containers go on."""
        self._dockerd.kill()
        await self._dockerd.wait()

    async def _start_containerd(self) -> None:
        config = self._directory / "containerd.toml"
        config.write_text(CONTAINERD.format(place=self._directory))
        self._containerd = await self._spawn("containerd", f"--config={config}")
        await eventually((self._directory / "containerd.sock").exists, START_S)

    async def _spawn(self, *command: str) -> Process:
        with (self._directory / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def _answers(self) -> bool:
        if self._dockerd.returncode is not None:
            return False
        try:
            async with Engine.open(self.socket) as engine:
                return bool(await engine.version())
        except EngineError:
            return False

    async def _remove_containers(self) -> None:
        async with Engine.open(self.socket) as engine:
            for container in await engine.listing():
                await engine.remove(container)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(STOP_S):
        await process.wait()


def _remove(directory: Path) -> None:
    """With what runs on it, and with everything that is mounted below, the deepest first.

    A container that was being started when dockerd died is unknown to it later, and goes on beside its containerd.
    """
    for pid in family(processes(), _shims(directory)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, timeout=20)
    shutil.rmtree(directory)


def _shims(directory: Path) -> list[int]:
    """The processes that were started to talk to this containerd."""
    address = f"{directory}/containerd.sock"
    found = []
    for pid, process in processes().items():
        with suppress(OSError):
            if (
                process.name.startswith("containerd-shim")
                and address in Path(f"/proc/{pid}/cmdline").read_text()
            ):
                found.append(pid)
    return found
