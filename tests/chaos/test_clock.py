"""Redis's clock jumps, its alone: leases and delays end early or late, and no call ends twice or not at all."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec import Struct
from msgspec.structs import replace

from deploy.local import LocalServerError
from deploy.local.account import own_account
from deploy.local.binaries import redis_program
from tests.chaos.client import Client
from tests.chaos.cluster import Cluster, Plan
from tests.chaos.history import History
from tests.chaos.killer import Killer
from tests.chaos.measured import Note
from tests.chaos.scene import SHAPE, fault, under_load
from tests.chaos.yard import HASTY, Yard
from tests.conformance.queue.servers import TcpRedis
from tests.conftest import MEMORY, skip_or_fail
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

PLAN = Plan(apis=1, workers=2, settings=HASTY)
HOUR_S = 3600
BACK_S, DELAY_S, LATE_S = 3, 1, 3
SHARED = "*faketime_*"  # how libfaketime names its shared memory
BACK = "delayed calls run later by as much; nothing else"
FORWARD = "delayed calls run early, and what runs at that moment runs twice"
RUNNER = """\
#!/bin/sh
export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={file} FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1
exec {program} "$@"
"""


class Clock(Struct, frozen=True):
    """A Redis, and the file that says how far its clock is off."""

    redis: TcpRedis
    file: Path

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.redis.port}"

    async def set(self, off_s: int) -> None:
        """Return when Redis's clock is that far off."""
        self.file.write_text(f"{off_s:+d}\n")

        async def is_off() -> bool:
            async with self.redis.client() as client:
                (there_s, _), here_s = await client.time(), time.time()
            return abs(there_s - here_s - off_s) < 2

        await eventually(is_off)


@pytest_asyncio.fixture(loop_scope="session")
async def clock(tmp_path: Path) -> AsyncIterator[Clock]:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        skip_or_fail("faketime is not installed: apt-get install faketime")
    try:  # Debian's own is linked with a jemalloc that libfaketime can't stand
        program = (await redis_program("6.2", tmp_path / "programs", own_account())).path
    except LocalServerError as error:
        skip_or_fail(str(error))
    file, runner = tmp_path / "clock", tmp_path / "redis-server"
    file.write_text("+0\n")
    runner.write_text(RUNNER.format(library=libraries[0], file=file, program=program))
    runner.chmod(0o755)
    redis = TcpRedis(runner, tmp_path / "data")
    others = set(MEMORY.glob(SHARED))
    await redis.start()
    yield Clock(redis, file)
    await redis.kill()
    for left in set(MEMORY.glob(SHARED)) - others:  # a process that is killed can't remove its own
        left.unlink()


async def test_jumps(yard: Yard, clock: Clock, note: Note) -> None:
    """Back, with what runs undisturbed; then far forward, where all leases and delays are over at once."""
    async with yard.cluster(PLAN, clock.url) as cluster:
        await a_delay_is_as_late_as_the_clock_was_set_back(cluster, clock)

        history = cluster.witness.history = History()
        await cluster.audit.forget()
        killer = Killer(cluster, history)
        async with under_load(cluster, replace(SHAPE, delayed_share=0)):
            await clock.set(-HOUR_S)
            killer.kill(killer.victims(lambda victim: victim.kind == "child")[0])
        note("Redis: its clock jumps an hour back, then a child dies", BACK, history)

        history = cluster.witness.history = History()
        await cluster.audit.forget()
        async with under_load(cluster), fault(history, "clock"):
            await clock.set(HOUR_S)
        note("Redis: its clock jumps two hours forward", FORWARD, history)


async def a_delay_is_as_late_as_the_clock_was_set_back(cluster: Cluster, clock: Clock) -> None:
    client = Client(0, cluster.http, cluster.urls, cluster.witness.history)
    call_id = await client.submit("hot", "1", {"Millrace-Delay": str(DELAY_S)})
    await clock.set(-BACK_S)
    await client.follow(call_id)
    stored, claimed, *_ = [change for change in await cluster.audit.changes() if change.call_id == call_id]
    assert claimed.status == "running"
    assert DELAY_S <= claimed.at - stored.at <= DELAY_S + BACK_S + LATE_S
