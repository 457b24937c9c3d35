"""Which machine, which commit, which versions: what figures mean nothing without. Reads, changes nothing."""

import asyncio
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
GIT_S = 10.0


class Machine(Struct, frozen=True, kw_only=True):
    """``load``: the last minute's average when the run began. ``commit`` ends in + if the tree had changes."""

    at: str
    commit: str
    processor: str
    cores: int
    memory_mb: int
    system: str
    python: str
    load: float
    packages: dict[str, str]

    def told(self, programs: dict[str, str]) -> str:
        """All of it in one sentence, with the versions of *programs*."""
        used = ", ".join(f"{name} {version}" for name, version in {**programs, **self.packages}.items())
        return (
            f"{self.at}, commit {self.commit}; {self.processor}, {self.cores} cores, {self.memory_mb:,} MB, "
            f"{self.system}, Python {self.python}, {used}; load {self.load:.2f} before the run."
        )


async def describe(packages: tuple[str, ...]) -> Machine:
    """This machine now, with the versions of *packages* as they are installed here."""
    return Machine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=await _commit(),
        processor=_after_colon(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        cores=os.cpu_count() or 0,
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=os.getloadavg()[0],
        packages={package: version(package) for package in packages},
    )


async def _commit() -> str:
    commit = await _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if await _git("status", "--porcelain") else "")


async def _git(*arguments: str) -> str:
    """What git answers; nothing where it can't."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("git", *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except FileNotFoundError:
        return ""
    async with asyncio.timeout(GIT_S):
        output, _ = await process.communicate()
    return output.decode().strip()


def _after_colon(path: Path, name: str) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
