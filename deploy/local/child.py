"""A program as our child: in a session of its own, its output in a file, stopped in bounded steps.

Ctrl-C at the terminal reaches only us, because each child leads its own session; a child gets its first stop
signal from the kernel when we die in any way. Restarting is the caller's business, not this module's.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from deploy.local.account import Account

LOG_MAX_BYTES = 16 * 2**20
TAIL_BYTES = 16384
TAIL_LINES = 15
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``stop`` is the ladder of (signal, seconds to wait after it); SIGKILL always follows.

    ``reach``: folders that the account must be able to read; it stays ours where it can't. ``binds_low_ports``: whether
    the account may listen on ports below 1024. Both are for an account that is not ours. ``blocked``: signals of others
    that are not for it.
    """

    name: str
    command: Sequence[str | Path]
    log_path: Path
    account: Account
    stop: Sequence[tuple[Signals, float]] = ((SIGTERM, 10.0),)
    cwd: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=dict)
    reach: Sequence[Path] = ()
    binds_low_ports: bool = False
    blocked: Sequence[Signals] = ()


class Child:
    """One running program."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, log_start: int) -> None:
        self.program = program
        self._process = process
        self._log_start = log_start

    @classmethod
    async def start(cls, program: Program, *, stdin_text: str = "", keep_fd: int | None = None) -> "Child":
        """Start *program*; it reads *stdin_text* and inherits *keep_fd*. Whether it lives on is for the caller."""
        stdin, log = _memory_file(stdin_text), _open_log(program.log_path)
        log_start = os.fstat(log).st_size
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", LAUNCHER, _order(program), *program.command),
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd=program.cwd,
                env=program.env,
                start_new_session=True,
                pass_fds=() if keep_fd is None else (keep_fd,),
            )
        finally:
            os.close(stdin)
            os.close(log)
        return cls(program, process, log_start)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait, for as long as it takes, until it ended; the exit code. Safe to cancel."""
        return await self._process.wait()

    async def stop(self) -> int:
        """End it: each signal of the ladder with its wait, then SIGKILL; the exit code. Harmless when it ended."""
        for signal, wait_s in (*self.program.stop, (SIGKILL, 10.0)):
            if self.exit_code is not None:
                break
            with suppress(ProcessLookupError):
                self._process.send_signal(signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._process.wait()
        return await self._process.wait()

    def describe_end(self) -> str:
        """Say in a few words how it ended."""
        code = self.exit_code
        if code is None:
            return f"{self.program.name} is running"
        if code < 0:
            return f"{self.program.name} was ended by {Signals(-code).name}"
        return f"{self.program.name} ended with exit code {code}"

    def last_lines(self) -> list[str]:
        """Return the last lines that it wrote to its log."""
        path = self.program.log_path
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - TAIL_BYTES, self._log_start if self._log_start <= size else 0))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]


def _order(program: Program) -> str:
    """What launch.py is told."""
    return json.dumps(
        {
            "parent": os.getpid(),
            "signal": int(program.stop[0][0]),
            "uid": program.account.uid,
            "gid": program.account.gid,
            "reach": [str(folder.resolve()) for folder in program.reach],
            "binds_low_ports": program.binds_low_ports,
            "blocked": [int(signal) for signal in program.blocked],
        }
    )


def trim_log(path: Path) -> None:
    """Once *path* has grown large, keep a copy and begin it anew; whoever appends to it goes on unharmed."""
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def _memory_file(text: str) -> int:
    """Return a file without a name, so that a password on it is never on a disk or a command line."""
    fd = os.memfd_create("stdin")
    os.write(fd, text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
