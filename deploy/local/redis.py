"""The embedded Redis: a real server on a Unix socket, with a password, its writes on disk every second or at once.

Never listens on TCP and never evicts. Its data is not carried from one major version to another: Postgres is the
truth, and the api's reconciler fills an empty queue again.
"""

import shutil
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import ClassVar, Literal
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from deploy.local.binaries import RedisChoice, RedisProgram, redis_program
from deploy.local.child import Child, Program
from deploy.local.directories import make_service_directory, socket_directory
from deploy.local.home import ServerHome
from deploy.local.server import LocalServer

SOCKET_NAME = "redis.sock"
STOP = ((SIGINT, 15.0),)
# A service manager sends it to every process, but this one has users to outlive.
NOT_FOR_IT = (SIGTERM,)

CONFIG = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
requirepass {password}
dir "{data}"
appendonly yes
appendfsync {appendfsync}
save ""
maxmemory-policy noeviction
daemonize no
"""


class LocalRedis(LocalServer):
    """A Redis of our own; *choice* is which redis-server to run, *appendfsync* when its writes reach the disk."""

    name: ClassVar[str] = "redis"

    def __init__(
        self,
        directory: Path,
        choice: RedisChoice = "auto",
        appendfsync: Literal["everysec", "always"] = "everysec",
    ) -> None:
        super().__init__(directory)
        self._choice: RedisChoice = choice
        self._appendfsync = appendfsync
        self.version = ""

    async def _launch(self, home: ServerHome, server_lock: int) -> tuple[Child, str]:
        program = await redis_program(self._choice, home.path / "programs", home.account)
        self.version = program.version
        password = home.password()
        data = home.path / "data"
        _set_aside_other_major(home.path, data, program)
        make_service_directory(data, home.account)
        socket = socket_directory(data, SOCKET_NAME, home.account) / SOCKET_NAME
        config = CONFIG.format(socket=socket, data=data, password=password, appendfsync=self._appendfsync)
        # The configuration comes by stdin: on the command line everybody could read the password.
        child = await Child.start(
            Program(*(self.name, (program.path, "-"), home.log_path, home.account, STOP), blocked=NOT_FOR_IT),
            stdin_text=config,
            keep_fd=server_lock,
        )
        return child, f"unix://:{password}@{quote(str(socket))}?db=0"

    async def _answers(self) -> bool:
        """Ping; False while the server starts or loads its data."""
        client = Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)
        try:
            return bool(await client.ping())
        except (RedisConnectionError, RedisTimeoutError, BusyLoadingError):
            return False
        finally:
            await client.aclose()


def _set_aside_other_major(home: Path, data: Path, program: RedisProgram) -> None:
    """Move data that another major version wrote out of the way; one such copy is kept for each version."""
    marker = home / "major"
    written_by = marker.read_text().strip() if marker.exists() else "unknown"
    if data.exists() and written_by != str(program.major):
        aside = home / f"data.{written_by}"
        shutil.rmtree(aside, ignore_errors=True)
        data.rename(aside)
    # Before the data it speaks of: data can then never stand beside another version's number.
    marker.write_text(str(program.major))
