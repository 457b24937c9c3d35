"""The Docker Engine killed and started again: the workers wait for it, and what ran in it is run again."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.cluster import Plan
from tests.chaos.daemon import Daemon
from tests.chaos.measured import Note
from tests.chaos.run import function_image
from tests.chaos.scene import fault, under_load
from tests.chaos.yard import HASTY, Yard
from tests.conftest import skip_or_fail

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def daemon(docker: str, gcc: None) -> AsyncIterator[Daemon]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        skip_or_fail("only root can start an engine of the test's own")
    async with Daemon.open() as daemon:
        await function_image(daemon.socket)
        yield daemon


async def test_dockerd_killed_and_started_again(yard: Yard, daemon: Daemon, note: Note) -> None:
    """A call that ran when the engine died is tried once more; one that the engine could not start has lost nothing."""
    settings = {**HASTY, "max_attempts": 2}
    async with yard.cluster(Plan(apis=1, workers=2, socket=daemon.socket, settings=settings)) as cluster:
        history = cluster.witness.history
        async with under_load(cluster), fault(history, "engine killed"):
            await daemon.kill()
            await asyncio.sleep(1)
            await daemon.start()
        note("Docker Engine: kill -9, started again a second later", "calls wait, or run again", history)
