"""The HTTP client of the benchmark: Debian's wrk, one thread of C, so that the processor is left to what is measured.

Every answer is checked, by wrk.lua.
"""

import asyncio
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.load.spread import Spread
from tests.load.sync.contestant import PAYLOAD, SyncLoadError
from tests.load.sync.figures import Sample

SCRIPT = Path(__file__).with_suffix(".lua")
LATE_S = 20.0


class _Seen(Struct, frozen=True, kw_only=True):
    calls: int
    elapsed_us: int
    p50_us: int
    p90_us: int
    p99_us: int
    wrong: int
    broken: int


def wrk_program() -> str:
    """Where it is. Raises SyncLoadError if it is not installed."""
    program = shutil.which("wrk")
    if program is None:
        raise SyncLoadError("wrk is not installed: apt-get install wrk")
    return program


async def wrk_version() -> str:
    """Its version. Raises SyncLoadError if it is not installed."""
    process = await asyncio.create_subprocess_exec(
        *(wrk_program(), "--version"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(LATE_S):
        said, _ = await process.communicate()
    return said.decode(errors="replace").removeprefix("wrk ").split(" ", 1)[0]


async def post(url: str, connections: int, seconds: int) -> Sample:
    """Post to *url* on keep-alive connections, one call under way on each. Raises SyncLoadError for a wrong answer."""
    options = ("-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", SCRIPT, url, "--", PAYLOAD)
    process = await asyncio.create_subprocess_exec(
        *(wrk_program(), *options), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(seconds + LATE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        raise SyncLoadError("wrk did not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _sample(said.decode(errors="replace"))


def _sample(said: str) -> Sample:
    _, begin, rest = said.rpartition('\n{"calls":')
    line, _, first = rest.partition("\n")
    if not begin:
        raise SyncLoadError(f"wrk: {said.strip()}")
    seen = msgspec.json.decode('{"calls":' + line, type=_Seen)
    if seen.wrong or seen.broken or not seen.calls:
        raise SyncLoadError(f"{seen.calls} answers, {seen.wrong} wrong, {seen.broken} failed; {first}")
    latency = Spread(p50_ms=seen.p50_us / 1e3, p90_ms=seen.p90_us / 1e3, p99_ms=seen.p99_us / 1e3)
    return Sample(calls=seen.calls, elapsed_s=seen.elapsed_us / 1e6, latency=latency)
