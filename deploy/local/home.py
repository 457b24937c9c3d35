"""The home of one embedded server: its directory, account, password, log and locks.

Two locks, because two questions differ. `owner.lock` is ours alone: a second Millrace on the same directory is
refused at once. `server.lock` is inherited by the server and all its children: while a server whose starter was
killed is still going down, the next start waits for it instead of opening its files.
"""

import asyncio
import os
from pathlib import Path

from deploy.local.account import Account, service_account
from deploy.local.child import Child, Program
from deploy.local.directories import lock, make_own_directory, read_or_make_password
from deploy.local.errors import LocalServerError

SERVER_GONE_S = 30.0


class ServerHome:
    """The directory of one server, locked for this process from `open` to `close`."""

    def __init__(self, name: str, path: Path, account: Account, owner_lock: int) -> None:
        self.name = name
        self.path = path
        self.account = account
        self.log_path = path / f"{name}.log"
        self._owner_lock: int | None = owner_lock

    @classmethod
    async def open(cls, name: str, path: Path) -> "ServerHome":
        """Make or check the directory, and lock it. Raises LocalServerError if it is unusable or in use."""
        account = await asyncio.to_thread(service_account)
        try:
            path = make_own_directory(path, account)
            refusal = f"another Millrace uses {path}: stop it, or set MILLRACE_DATA_DIR to another directory"
            return cls(name, path, account, await lock(path / "owner.lock", refusal))
        except OSError as error:
            raise LocalServerError(f"{path} can't be used for {name}: {error}") from error

    def close(self) -> None:
        """Let another Millrace use the directory. Harmless the second time."""
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    def password(self) -> str:
        """Return the server's password, generated the first time."""
        return read_or_make_password(self.path / "password")

    async def lock_server(self) -> int:
        """Wait, bounded, until no process of an earlier server is left; the lock is for the next to inherit."""
        refusal = f"a {self.name} server is still running on {self.path}: stop it first"
        return await lock(self.path / "server.lock", refusal, wait_s=SERVER_GONE_S)

    async def run_to_end(self, program: Program, *, stdin_text: str, keep_fd: int, limit_s: float) -> None:
        """Run *program* to its end. Raises LocalServerError with its last lines if it fails or takes longer."""
        child = await Child.start(program, stdin_text=stdin_text, keep_fd=keep_fd)
        try:
            async with asyncio.timeout(limit_s):
                await child.wait()
        except TimeoutError:
            raise failure(child, f"{program.name} took longer than {limit_s:.0f} s") from None
        finally:
            await child.stop()
        if child.exit_code != 0:
            raise failure(child, child.describe_end())


def failure(child: Child, what: str) -> LocalServerError:
    """Return the error for *what*, with the last lines that *child* wrote."""
    lines = "".join(f"\n    {line}" for line in child.last_lines())
    return LocalServerError(f"{what} (log: {child.program.log_path}){lines}")
