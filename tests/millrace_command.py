"""The command `millrace` as a process of its own, with no variables of ours but those that a test gives."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from typing import NamedTuple

# Its name is as a person types it: in its help, and for completion.
MILLRACE = (
    *(sys.executable, "-c"),
    "import sys; sys.argv[0] = 'millrace'; from deploy.command import main; main()",
)


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes

    @property
    def output(self) -> str:
        """All that it printed."""
        return (self.stdout + self.stderr).decode()


async def start(*arguments: str, **environ: object) -> Process:
    return await start_with({}, *arguments, **environ)


async def start_with(others: dict[str, str], *arguments: str, **environ: object) -> Process:
    """Start it with variables of *others* too, which are not ours."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    variables |= others
    variables |= {f"MILLRACE_{name.upper()}": str(value) for name, value in environ.items()}
    return await asyncio.create_subprocess_exec(
        *(*MILLRACE, *arguments), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=variables
    )


async def run(*arguments: str, payload: bytes = b"", **environ: object) -> Result:
    process = await start(*arguments, **environ)
    async with asyncio.timeout(60):
        stdout, stderr = await process.communicate(payload)
    return Result(process.returncode, stdout, stderr)
