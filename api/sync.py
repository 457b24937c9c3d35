"""Sync calls: pushed with a ticket, waited for by id, answered by whoever ends them. No Postgres on the caller's path.

One task hands replies to those who wait; another looks after them while it takes long: a caller that went away, an
answer that never comes, a process that ends. That a call has waited too long for a worker is the queue's to say, not a
clock's here: a worker may just have taken it. The queue hands it over as dead, and maintenance replies.
"""

import asyncio
import math
import time
from datetime import datetime
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec.structs import replace

from api import ends
from api.recorder import Recorder
from api.streams import is_gone
from common.errors import QueueUnavailableError
from common.models import Call, Outcome, QueueEntry, SyncTicket, decode_reply, encode_call, new_id
from common.queue.base import Cancelled, MessageQueue
from common.telemetry.logs import get_logger

WAIT_MIN_S = 1.0  # for a worker; else half of the route's timeout, as Fn v1
LOOK_PAUSE_S = 0.25
ANSWER_SLACK_S = 15.0  # beyond the wait, the start and the timeout: a container's end, and the reply's way
RETRY_S = 1.0
CLOSE_S = 5.0

_log = get_logger("sync")


class Waiting:
    """A sync call that was pushed: ``call`` is without its payload, ``answered`` is done with its end."""

    __slots__ = ("answered", "call", "gives_up_at_s", "request", "wait_ends_at_s")

    def __init__(self, call: Call, request: web.BaseRequest) -> None:
        self.call = call
        self.request = request
        self.answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.wait_ends_at_s = math.inf
        self.gives_up_at_s = math.inf

    def start(self, wait_s: float, start_s: float) -> None:
        """Count from now: it was pushed."""
        self.wait_ends_at_s = time.monotonic() + wait_s
        self.gives_up_at_s = self.wait_ends_at_s + start_s + self.call.timeout + ANSWER_SLACK_S

    def end(self, outcome: Outcome, claimed_at: datetime | None = None) -> None:
        """Answer it, unless it is answered. *claimed_at*: when a worker took it, if one has said so."""
        if not self.answered.done():
            self.call = replace(self.call, claimed_at=claimed_at)
            self.answered.set_result(outcome)

    @property
    def is_pushed(self) -> bool:
        return self.wait_ends_at_s < math.inf

    @property
    def is_abandoned(self) -> bool:
        return is_gone(self.request)


class SyncCalls:
    """Owns the two tasks. Made and closed inside the running loop; replies find it by an address of its own."""

    def __init__(self, queue: MessageQueue, recorder: Recorder, start_timeout_s: float) -> None:
        self._queue = queue
        self._start_s = start_timeout_s
        self._recorder = recorder
        self._reply_to = new_id()
        self._pending: dict[UUID, Waiting] = {}
        self._is_busy = asyncio.Event()
        self._looking = asyncio.Lock()
        self._asked_at_s = 0.0
        self._drained_at_s = math.inf
        self._tasks = [
            asyncio.create_task(self._listen_forever()),
            asyncio.create_task(self._look_forever()),
        ]

    async def push(self, call: Call, payload: bytes, request: web.BaseRequest) -> Waiting:
        """Queue the call with its payload; `outcome` must follow. Raises QueueFullError, QueueUnavailableError.

        After QueueUnavailableError it may run all the same, once, with nobody to answer.
        """
        wait_s = max(WAIT_MIN_S, call.timeout / 2)
        ticket = SyncTicket(
            reply_to=self._reply_to,
            ttl_ms=round(wait_s * 1000),
            message=encode_call(replace(call, payload=payload)),
        )
        entry = QueueEntry(
            id=call.id, order_no=0, priority=0, delay_ms=0, memory_mb=call.memory, ticket=ticket
        )
        waiting = self._pending[call.id] = Waiting(call, request)
        try:
            await self._queue.push([entry])  # the reply may come before this returns
        except BaseException:
            self._forget(call)
            raise
        waiting.start(wait_s, self._start_s)
        self._is_busy.set()
        return waiting

    async def outcome(self, waiting: Waiting) -> Outcome:
        """How the call ended. Bounded: some end is found for every call."""
        try:
            return await waiting.answered
        finally:
            self._forget(waiting.call)

    async def wait_busy(self, timeout_s: float) -> bool:
        """Return at once while calls are waited for, else when there is one or after *timeout_s*: whether there is."""
        if not self._is_busy.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._is_busy.wait()
            except TimeoutError:
                return False
        return True

    def has_expired(self) -> bool:
        """Whether since the last asking a call may have waited for a worker as long as it may."""
        now_s, before_s = time.monotonic(), self._asked_at_s
        self._asked_at_s = now_s
        return any(before_s < waiting.wait_ends_at_s <= now_s for waiting in self._pending.values())

    def drain(self, grace_s: float) -> None:
        """Turn away what is not answered after *grace_s*: the process ends."""
        self._drained_at_s = time.monotonic() + grace_s

    async def aclose(self) -> None:
        """End the tasks; what was just turned away is cancelled before, within CLOSE_S."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._looking.acquire()
        except TimeoutError:
            _log.warning("sync calls were not cancelled before the end")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, call: Call) -> None:
        del self._pending[call.id]
        if not self._pending:
            self._is_busy.clear()

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception:  # noqa: BLE001 - the task's outermost guard: without it every caller would wait in vain
                _log.exception("listening for replies failed")
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        async for message in self._queue.replies(self._reply_to):
            try:
                reply = decode_reply(message)
            except msgspec.MsgspecError:
                _log.exception("a reply can't be read")
                continue
            waiting = self._pending.get(reply.id)
            if waiting is not None:
                waiting.end(reply.outcome, reply.claimed_at)

    async def _look_forever(self) -> None:
        while True:
            await self._is_busy.wait()
            await asyncio.sleep(LOOK_PAUSE_S)
            try:
                async with self._looking:
                    await self._look()
            except QueueUnavailableError:
                await asyncio.sleep(RETRY_S)  # who waits for the queue says that it is away
            except Exception:  # noqa: BLE001 - the task's outermost guard: one bad look must not end all looking
                _log.exception("looking after sync calls failed")
                await asyncio.sleep(RETRY_S)

    async def _look(self) -> None:
        now_s = time.monotonic()
        given_up: list[tuple[Waiting, Outcome]] = []
        late: list[Waiting] = []
        for waiting in self._pending.values():
            if not waiting.is_pushed:
                continue  # its cancel could come before it
            if waiting.is_abandoned:
                given_up.append((waiting, ends.caller_gone()))
            elif now_s >= waiting.gives_up_at_s:
                late.append(waiting)
            elif now_s >= self._drained_at_s:
                outcome = ends.no_capacity()
                waiting.end(outcome)  # its caller does not wait for Redis
                given_up.append((waiting, outcome))
        for waiting in late:
            outcome = ends.no_answer()
            waiting.end(outcome)
            self._recorder.add(waiting.call, outcome)  # unless somebody did: then that stays
        if given_up or late:
            await self._cancel(given_up, late)

    async def _cancel(self, given_up: list[tuple[Waiting, Outcome]], late: list[Waiting]) -> None:
        """Let nobody run them. Who has one kills and records it; who ended one just now has recorded it."""
        ids = [waiting.call.id for waiting in (*(waiting for waiting, _ in given_up), *late)]
        found = await self._queue.cancel(ids)
        for (waiting, outcome), cancelled in zip(given_up, found, strict=False):
            waiting.end(outcome)
            if cancelled is Cancelled.REMOVED:
                self._recorder.add(waiting.call, outcome)
