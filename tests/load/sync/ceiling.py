"""``python -m tests.load.sync.ceiling``: an api process whose sync calls are answered before they are queued.

What remains is what one api process can answer at most: HTTP, route, call, response. For the benchmark only.
"""

import sys
from datetime import UTC, datetime

from aiohttp import web

from api.__main__ import main
from api.sync import SyncCalls
from api.waiting import Waiting
from common.models import Call, CallStatus, Outcome


async def push(self: SyncCalls, call: Call, payload: bytes, request: web.BaseRequest) -> Waiting:
    """Answer with the body that came, as the function does."""
    waiting = Waiting(call, request)
    now = datetime.now(UTC)
    waiting.end(Outcome(status=CallStatus.SUCCESS, result=payload, started_at=now, completed_at=now))
    return waiting


async def outcome(self: SyncCalls, waiting: Waiting) -> Outcome:
    """What was answered: there is nothing pending that could be forgotten."""
    return await waiting.answered


if __name__ == "__main__":
    SyncCalls.push = push  # type: ignore[method-assign]
    SyncCalls.outcome = outcome  # type: ignore[method-assign]
    sys.exit(main())
