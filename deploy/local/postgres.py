"""The embedded Postgres: a real server on a Unix socket, with a password, durable.

Never listens on TCP, never lets anyone in without the password, never runs as root.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import ClassVar
from urllib.parse import urlencode, urlsplit

import asyncpg

from common.store.server import PostgresServer
from deploy.local.binaries import POSTGRES_MAJOR, postgres_program, postgres_wheel
from deploy.local.child import Child, Program
from deploy.local.directories import make_service_directory, socket_directory
from deploy.local.errors import LocalServerError
from deploy.local.home import ServerHome
from deploy.local.server import LocalServer

USER = DATABASE = "millrace"
SOCKET_NAME = ".s.PGSQL.5432"
INIT_S = 120.0
LOOK_S = 1.0
STATUS_LINE = 7  # of postmaster.pid
FAST_SHUTDOWN = (SIGINT, 30.0)
IMMEDIATE_SHUTDOWN = (SIGQUIT, 5.0)


class LocalPostgres(LocalServer):
    """A Postgres of our own; `url` is for asyncpg and names the database `millrace`."""

    name: ClassVar[str] = "postgres"

    async def _launch(self, home: ServerHome, server_lock: int) -> tuple[Child, str]:
        wheel = await postgres_wheel(home.path / "programs", home.account)
        password = home.password()
        data = home.path / str(POSTGRES_MAJOR)
        if not data.exists():
            await _initialise(home, wheel, data, server_lock)
        make_service_directory(data, home.account)
        sockets = socket_directory(data, SOCKET_NAME, home.account)
        # The lock says that no process of an earlier server is left, so these files can only name a stranger by
        # now, whom Postgres would take for its rival.
        for left_over in (data / "postmaster.pid", sockets / f"{SOCKET_NAME}.lock"):
            left_over.unlink(missing_ok=True)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": sockets,
            "unix_socket_permissions": "0700",
            "log_line_prefix": "%m [%p] %d ",
        }
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        command: list[str | Path] = [postgres_program(wheel, "postgres"), "-D", data, *settings]
        child = await Child.start(_program(home, self.name, command), keep_fd=server_lock)
        query = urlencode({"host": str(sockets)})
        return child, f"postgresql://{USER}:{password}@/{DATABASE}?{query}"

    async def wait(self) -> str:
        """As every server's; also when it was told to stop by somebody else.

        Then it would take no more connections, and end only when its last user goes: it is ended at once instead."""
        pid, ended = self.child.pid, asyncio.ensure_future(super().wait())
        try:
            while not (await asyncio.wait({ended}, timeout=LOOK_S))[0]:
                if self._is_stopping():
                    os.kill(pid, FAST_SHUTDOWN[0])
            return await ended
        finally:
            ended.cancel()

    def _is_stopping(self) -> bool:
        try:
            lines = (self.directory / str(POSTGRES_MAJOR) / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "stopping"

    async def _answers(self) -> bool:
        """Connect and make the database if this is the first time; False while the server is starting."""
        maintenance = urlsplit(self.url)._replace(path="/postgres").geturl()
        try:
            connection = await PostgresServer(maintenance).connect()
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        except asyncpg.InvalidPasswordError as error:
            raise LocalServerError(
                f"{self.directory}/password is not the password of the data beside it"
            ) from error
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close(timeout=5)
        return True


async def _initialise(home: ServerHome, wheel: Path, data: Path, server_lock: int) -> None:
    """Make the data directory, all or nothing: one that was cut short is begun anew."""
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_service_directory(unfinished, home.account)
    command = (
        *(postgres_program(wheel, "initdb"), "--pgdata", unfinished, "--username", USER),
        *("--auth", "scram-sha-256", "--pwfile", "/dev/stdin", "--encoding", "UTF8"),
        *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--data-checksums"),
    )
    program = _program(home, "initdb", command)
    await home.run_to_end(program, stdin_text=home.password(), keep_fd=server_lock, limit_s=INIT_S)
    unfinished.rename(data)
    _flush_directory(data.parent)


def _program(home: ServerHome, name: str, command: Sequence[str | Path]) -> Program:
    stop = (FAST_SHUTDOWN, IMMEDIATE_SHUTDOWN)
    # No environment: PGDATA, PGPORT and the like of the caller's shell must not reach the server.
    return Program(name, command, home.log_path, home.account, stop, env={"LC_ALL": "C", "TZ": "UTC"})


def _flush_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
