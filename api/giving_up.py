"""GivingUp: ends the waiting for sync calls whose reply is not to be waited for any longer.

Their callers have gone, nothing was heard of them for too long, their push was not confirmed, or this process ends.
What a worker may have started and what nobody will start get different ends (ends.py): a caller that asks again after
the former runs the function twice.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

from api import ends
from api.recorder import Recorder
from api.waiting import Waiting
from common.errors import QueueUnavailableError
from common.models import Outcome
from common.queue.base import Cancelled, MessageQueue, Withdrawn

CUT_OFF_S = 2.0  # for Redis to say which calls were started, when the process ends


class GivingUp:
    """Looks at the calls that are waited for, again and again; `look` is not called while it is under way."""

    def __init__(self, queue: MessageQueue, recorder: Recorder) -> None:
        self._queue = queue
        self._recorder = recorder
        self._drained_at_s = math.inf

    def drain(self, grace_s: float) -> None:
        """From *grace_s* on each look answers all that is left: the process ends. Again only brings that forward."""
        self._drained_at_s = min(self._drained_at_s, time.monotonic() + grace_s)

    async def look(self, pending: Iterable[Waiting]) -> None:
        """End what is to be ended now. Raises QueueUnavailableError: callers that have gone are for the next look."""
        now_s = time.monotonic()
        gone, late, others = list[Waiting](), list[Waiting](), list[Waiting]()
        for waiting in pending:
            if not waiting.is_pushed:
                continue  # its cancel could come before it
            if waiting.is_abandoned:
                gone.append(waiting)
            elif now_s >= waiting.gives_up_at_s:
                late.append(waiting)
            else:
                others.append(waiting)
        for waiting in late:
            self._record(waiting, ends.no_answer())  # unless somebody did: then that stays
        if now_s >= self._drained_at_s:
            await self._cut_off(others)
        else:
            await self._resolve_doubts([waiting for waiting in others if waiting.doubted_to_s is not None])
        await self._cancel(gone, late)

    async def _cut_off(self, waiting: Sequence[Waiting]) -> None:
        """Answer all. What a worker has goes on, and is recorded by it: its work may be half done already."""
        for one, found in zip(waiting, await self._withdraw(waiting, is_unheard=True), strict=True):
            if found is Withdrawn.WITHDRAWN:
                self._record(one, ends.shutting_down())
            elif found is Withdrawn.ENDED and not one.has_ended:
                one.has_ended = True  # its reply has until the next look
            else:
                one.end(ends.api_ended())

    async def _resolve_doubts(self, doubted: Sequence[Waiting]) -> None:
        now_s = time.monotonic()
        for one, found in zip(doubted, await self._withdraw(doubted, is_unheard=False), strict=True):
            if found is Withdrawn.WITHDRAWN:
                one.refuse()
            elif found is Withdrawn.RUNNING:
                one.doubted_to_s = None
            elif now_s >= (one.doubted_to_s or 0):
                self._record(one, ends.push_unconfirmed())

    async def _withdraw(self, waiting: Sequence[Waiting], *, is_unheard: bool) -> list[Withdrawn | None]:
        """What became of each; None where the queue does not say."""
        if not waiting:
            return []
        try:
            async with asyncio.timeout(CUT_OFF_S):
                return [*await self._queue.withdraw([one.call.id for one in waiting], is_unheard=is_unheard)]
        except (QueueUnavailableError, TimeoutError):
            return [None] * len(waiting)

    async def _cancel(self, gone: Sequence[Waiting], late: Sequence[Waiting]) -> None:
        """Take them out of the queue. A worker that runs one kills it and records that; an ended one has its record."""
        if not gone and not late:
            return
        found = await self._queue.cancel([waiting.call.id for waiting in (*gone, *late)])
        for waiting, cancelled in zip(gone, found, strict=False):
            if cancelled is Cancelled.REMOVED:
                self._record(waiting, ends.caller_gone())
            else:
                waiting.end(ends.caller_gone())

    def _record(self, waiting: Waiting, outcome: Outcome) -> None:
        waiting.end(outcome)
        self._recorder.add(waiting.call, outcome)
