"""beanstalkd of our own, from Debian's package: on a Unix socket, its binlog on, synced once a second as Redis's is.

Nothing of the package's own service is used; the server never outlives the benchmark.
"""

import asyncio
import shutil
from pathlib import Path
from signal import SIGTERM
from typing import ClassVar

from deploy.local.binaries import SYSTEM_PATH
from deploy.local.child import Child, Program
from deploy.local.directories import make_service_directory, socket_directory
from deploy.local.home import ServerHome
from deploy.local.server import LocalServer

SOCKET_NAME = "beanstalkd.sock"
SYNC_EVERY_MS = 1000
ANSWER_S = 5.0


def beanstalkd_program() -> Path | None:
    """Where it is installed, if it is."""
    found = shutil.which("beanstalkd", path=SYSTEM_PATH) or shutil.which("beanstalkd")
    return Path(found) if found else None


async def beanstalkd_version(program: Path) -> str:
    """What it says of itself."""
    process = await asyncio.create_subprocess_exec(program, "-v", stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(ANSWER_S):
        output, _ = await process.communicate()
    return output.decode().split()[-1]


class LocalBeanstalkd(LocalServer):
    """`url` is the path of its socket."""

    name: ClassVar[str] = "beanstalkd"

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__(directory)
        self._program = program

    async def _launch(self, home: ServerHome, server_lock: int) -> tuple[Child, str]:
        data = make_service_directory(home.path / "data", home.account)
        socket = socket_directory(data, SOCKET_NAME, home.account) / SOCKET_NAME
        command = (self._program, "-l", f"unix:{socket}", "-b", data, "-f", str(SYNC_EVERY_MS))
        child = await Child.start(
            Program(self.name, command, home.log_path, home.account, ((SIGTERM, 5.0),)), keep_fd=server_lock
        )
        return child, str(socket)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                _, writer = await asyncio.open_unix_connection(self.url)
                writer.close()
                await writer.wait_closed()
        except OSError:
            return False
        return True
