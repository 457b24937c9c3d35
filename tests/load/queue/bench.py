"""One run: an embedded Redis and a beanstalkd of its own, every part one after the other, one report.

Everything it starts, it stops; its data is gone afterwards. Traffic goes over Unix sockets alone.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from redis.asyncio import Redis

from deploy.local import LocalRedis
from tests.load.machine import Machine, describe
from tests.load.queue.beanstalkd import LocalBeanstalkd, beanstalkd_program, beanstalkd_version
from tests.load.queue.depths import measure_depths
from tests.load.queue.field import FIELD
from tests.load.queue.figures import DepthLine, FieldLine, IdleLine, LatencyLine
from tests.load.queue.plan import Plan
from tests.load.queue.side_by_side import measure_field
from tests.load.queue.stage import Stage
from tests.load.queue.targets import judge
from tests.load.queue.waiting import measure_idle, measure_latency
from tests.load.target import Target
from tests.polling import eventually

EVERYBODY = tuple(contestant.name for contestant in FIELD)
REWRITE_S = 60.0


class Report(Struct, frozen=True, kw_only=True):
    """All of one run. ``servers``: their versions and the settings that matter."""

    machine: Machine
    plan: Plan
    servers: dict[str, str]
    depths: list[DepthLine]
    idle: list[IdleLine]
    latency: list[LatencyLine]
    field: list[FieldLine]
    targets: list[Target]


async def run(plan: Plan, say: Callable[[str], None], names: tuple[str, ...] = EVERYBODY) -> Report:
    """Measure everything by *plan*, beside the contestants of *names*.

    Raises LocalServerError where Redis can't start, ProgramError if Millrace's own part fails; of the others those
    that can't be measured are reported as such."""
    machine = await describe(("redis", "hiredis", "uvloop"))
    async with _stage(plan, say, with_beanstalkd="beanstalkd" in names) as (stage, servers):
        depths = await measure_depths(stage)
        await _begin_anew(stage)
        idle = await measure_idle(stage)
        latency = await measure_latency(stage)
        field = await measure_field(stage, names)
    return Report(
        machine=machine,
        plan=plan,
        servers=servers,
        depths=depths,
        idle=idle,
        latency=latency,
        field=field,
        targets=judge(depths, idle, latency, field),
    )


@asynccontextmanager
async def _stage(
    plan: Plan, say: Callable[[str], None], *, with_beanstalkd: bool
) -> AsyncIterator[tuple[Stage, dict[str, str]]]:
    directory = Path(tempfile.mkdtemp(prefix="millrace-load-"))
    directory.chmod(0o711)  # the servers' account passes through
    try:
        async with (
            LocalRedis(directory / "redis", plan.redis) as server,
            _beanstalkd(directory / "beanstalkd", wanted=with_beanstalkd) as (socket, beanstalkd),
        ):
            redis = Redis.from_url(server.url, protocol=2)
            try:
                # A rewrite of the whole log would hit whoever is being measured.
                await redis.config_set("auto-aof-rewrite-percentage", 0)
                stage = Stage(plan, redis, server.url, directory, say, socket)
                yield (
                    stage,
                    {
                        "Redis": f"{server.version}, appendonly, appendfsync everysec, Unix socket",
                        "beanstalkd": beanstalkd,
                    },
                )
            finally:
                await redis.aclose()
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


@asynccontextmanager
async def _beanstalkd(directory: Path, *, wanted: bool) -> AsyncIterator[tuple[str, str]]:
    """The path of its socket, empty where there is none, and how it runs."""
    program = beanstalkd_program() if wanted else None
    if program is None:
        yield "", "not installed" if wanted else "not asked for"
        return
    async with LocalBeanstalkd(directory, program) as server:
        yield server.url, f"{await beanstalkd_version(program)}, binlog synced every second, Unix socket"


async def _begin_anew(stage: Stage) -> None:
    """Empty Redis and its log, so that the parts that follow find it small."""
    await stage.redis.flushall()
    await stage.redis.bgrewriteaof()

    async def is_rewritten() -> bool:
        state = await stage.info("persistence")
        return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]

    await eventually(is_rewritten, REWRITE_S)
