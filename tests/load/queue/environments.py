"""The peers' environments: one each, so that each has the redis-py that it asks for; arq, SAQ and taskiq-redis exclude
one another's. Made from hash-locked requirements, beside the project's own environment, and never needed by it.
"""

import asyncio
import sys
from pathlib import Path

from tests.load.queue.field import Contestant
from tests.load.queue.programs import ROOT, ProgramError

HOME = ROOT / ".venv-load"
REQUIREMENTS = ROOT / "deploy" / "requirements"
STEP_S = 300.0


def python_of(contestant: Contestant) -> Path | None:
    """The interpreter that drives *contestant*; None if its environment was not made."""
    if contestant.environment is None:
        return Path(sys.executable)
    python = HOME / contestant.environment / "bin" / "python"
    return python if python.exists() else None


async def make(environment: str) -> None:
    """Make it anew from ``deploy/requirements/load-ENVIRONMENT.txt``. Raises ProgramError with what pip says."""
    folder = HOME / environment
    await _run(sys.executable, "-m", "venv", "--clear", folder)
    await _run(
        *(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--require-hashes", "-r", REQUIREMENTS / f"load-{environment}.txt"),
    )


async def _run(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT
    )
    try:
        async with asyncio.timeout(STEP_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ProgramError(f"{' '.join(str(part) for part in command)}:\n{output.decode(errors='replace')}")
