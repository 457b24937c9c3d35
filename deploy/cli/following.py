"""Following a call: its log to standard error as it is written, until it has ended.

The end is asked for, not concluded from the log's: a stream may break off, and an api be away for a while.
"""

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

from deploy.cli.answers import CallAnswer, ClientError, Record, UnreachableError, decode
from deploy.cli.asking import Api
from deploy.cli.client import call_path

FINAL = {"success", "error", "cancelled"}
WAIT_S = 30
ANSWER_S = WAIT_S + 15.0
LOG_END_S = 10.0
AWAY_S = 60.0  # how long an api that does not answer, or has no room for a follower, is asked again
PAUSE_S = 1.0


class Ended(NamedTuple):
    """A call that has ended, also as the api's own JSON."""

    record: Record
    answer: bytes


async def follow_call(api: Api, app: str, call_id: str) -> Ended:
    """Return when the call has ended and its log was shown. Raises ClientError. Safe to cancel: the call goes on."""
    log = asyncio.create_task(_show_log(api, app, call_id))
    try:
        ended = await _await_end(api, app, call_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOG_END_S):
                await log
        return ended
    finally:
        log.cancel()


async def show_live_log(api: Api, app: str, call_id: str) -> None:
    """Print the log as it is written, to the end of the call. Raises ClientError."""
    async for chunk in api.client.stream(call_path(app, call_id, "log"), {"follow": "1"}):
        api.terminal.data(chunk)


async def _show_log(api: Api, app: str, call_id: str) -> None:
    try:
        async for chunk in api.client.stream(call_path(app, call_id, "log"), {"follow": "1"}):
            api.terminal.live(chunk)
    except ClientError as error:
        api.terminal.remark(f"its log can't be followed: {error}")


async def _await_end(api: Api, app: str, call_id: str) -> Ended:
    answered_at_s = time.monotonic()
    while True:
        try:
            answer = await api.client.ask(
                "GET", call_path(app, call_id), query={"wait": str(WAIT_S)}, answer_s=ANSWER_S
            )
        except ClientError as error:
            is_away = isinstance(error, UnreachableError) or error.status == 503
            if not is_away or time.monotonic() - answered_at_s > AWAY_S:
                raise
            await asyncio.sleep(PAUSE_S)
            continue
        answered_at_s = time.monotonic()
        record = decode(answer, CallAnswer).call
        if record.status in FINAL:
            return Ended(record, answer)
