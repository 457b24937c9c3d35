"""The whole document, asked of a running api by schemathesis: nothing answers but as it is described.

schemathesis.toml says with what budget, and which of its checks are not for an api that follows Fn v1.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from api.openapi import FILE
from common.errors import MillraceError
from common.queue.base import Lane
from common.settings import Settings
from common.store.base import ClaimRequest
from tests.integration.api.furnished import furnish, run
from tests.integration.api.served import ROOMY, ServedApi
from tests.integration.api.stand_in import StandIn, ended

CONFIG = Path(__file__).with_name("schemathesis.toml")
LIMIT_S = 300.0


@pytest.mark.timeout(LIMIT_S + 30)
async def test_the_api_answers_as_its_document_says(settings: Settings, tmp_path: Path) -> None:
    async with ServedApi(settings) as api, _beside(api, _work), _beside(api, _tend):
        api.secret = await api.create_token()
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG),
            *("run", FILE, "--url", f"http://127.0.0.1:{api.port}"),
            cwd=tmp_path,
            env={**os.environ, "TOKEN": api.secret},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, output.decode()


@asynccontextmanager
async def _beside(api: ServedApi, what: Callable[[ServedApi], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(what(api))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), task.exception()


async def _work(api: ServedApi) -> None:
    """Answer every call as soon as it comes."""
    stand_in = StandIn(api.queue)
    while True:
        await api.queue.wait([Lane.SYNC, Lane.ASYNC], 5)
        for taken in await stand_in.take_up_to(100):
            await stand_in.reply(taken, ended(result=b"SOME TEXT"))
        reservations = (await api.queue.reserve(ROOMY, stand_in.incarnation)).reservations
        if reservations:
            await run(api, [ClaimRequest(id=taken.id, token=taken.token) for taken in reservations])
            await api.queue.ack(reservations)


async def _tend(api: ServedApi) -> None:
    """Keep what the examples name, which its operations delete, and the queue going."""
    while True:
        with suppress(MillraceError):
            await furnish(api)
        await api.post("/v1/queue/resume", {})
        await asyncio.sleep(0.2)
