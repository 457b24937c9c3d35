"""Waiting: one sync call that an api process pushed, and whose end its caller waits for. Does nothing by itself."""

import asyncio
import math
import time
from datetime import datetime

from aiohttp import web
from msgspec.structs import replace

from api.streams import is_gone
from common.errors import QueueUnavailableError
from common.models import Call, Outcome

ANSWER_SLACK_S = 15.0  # beyond the wait, the start and the timeout: a container's end, and the reply's way
DOUBT_S = 5.0  # after a push that was not confirmed: how long Redis may take to say what became of it


class Waiting:
    """``call`` is without its payload; ``answered`` is done with its end.

    ``doubted_to_s``: its push was not confirmed. Until this time (monotonic) the queue is asked what became of it.
    """

    __slots__ = (
        "answered",
        "call",
        "doubted_to_s",
        "gives_up_at_s",
        "has_ended",
        "request",
        "wait_ends_at_s",
    )

    def __init__(self, call: Call, request: web.BaseRequest) -> None:
        self.call = call
        self.request = request
        self.answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.wait_ends_at_s = math.inf
        self.gives_up_at_s = math.inf
        self.doubted_to_s: float | None = None
        self.has_ended = False  # the queue says so: its reply may be on its way

    def start(self, wait_s: float, start_s: float) -> None:
        """Count from now: it was pushed."""
        self.wait_ends_at_s = time.monotonic() + wait_s
        self.gives_up_at_s = self.wait_ends_at_s + start_s + self.call.timeout + ANSWER_SLACK_S

    def doubt(self) -> None:
        """Note that nobody knows whether it was pushed."""
        self.doubted_to_s = time.monotonic() + DOUBT_S

    def end(self, outcome: Outcome, claimed_at: datetime | None = None) -> None:
        """Answer it, unless it is answered. *claimed_at*: when a worker took it, if one has said so."""
        if not self.answered.done():
            self.call = replace(self.call, claimed_at=claimed_at)
            self.answered.set_result(outcome)

    def refuse(self) -> None:
        """Say that it was never queued and will not run, unless it is answered."""
        if not self.answered.done():
            self.answered.set_exception(QueueUnavailableError(may_have_happened=False))

    @property
    def is_pushed(self) -> bool:
        return self.wait_ends_at_s < math.inf

    @property
    def is_abandoned(self) -> bool:
        return is_gone(self.request)
