"""Runs small chores beside a piece of work: they end with it, and nothing that goes wrong in them can harm it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from common.telemetry.logs import get_logger

log = get_logger("beside")


@asynccontextmanager
async def beside(*chores: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run *chores* while the body runs; at its end they are cancelled and waited for. Their errors are only logged."""
    tasks = [asyncio.create_task(chore) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("chore failed", exc_info=result)
