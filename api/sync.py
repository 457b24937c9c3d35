"""Sync calls: pushed with a ticket, waited for by id, answered by whoever ends them. No Postgres on the caller's path.

One task hands replies to those who wait; another looks after them while it takes long (giving_up.py). That a call has
waited too long for a worker is the queue's to say, not a clock's here: a worker may just have taken it. The queue hands
it over as dead, and maintenance replies.
"""

import asyncio
import time
from collections import Counter
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec.structs import replace

from api.giving_up import GivingUp
from api.recorder import Recorder
from api.sync_limit import SyncLimit
from api.waiting import Waiting
from common.errors import QueueUnavailableError
from common.models import Call, Outcome, QueueEntry, SyncTicket, decode_reply, encode_call, new_id
from common.queue.base import MessageQueue
from common.telemetry.logs import get_logger

WAIT_MIN_S = 1.0  # for a worker; else half of the route's timeout, as Fn v1
LOOK_PAUSE_S = 0.25
RETRY_S = 1.0
CLOSE_S = 5.0

_log = get_logger("sync")


class SyncCalls:
    """Owns the two tasks. Made and closed inside the running loop; replies find it by an address of its own."""

    def __init__(
        self, queue: MessageQueue, recorder: Recorder, limit: SyncLimit, start_timeout_s: float
    ) -> None:
        self._queue = queue
        self._limit = limit
        self._of_app: Counter[str] = Counter()
        self._start_s = start_timeout_s
        self._giving_up = GivingUp(queue, recorder)
        self._reply_to = new_id()
        self._pending: dict[UUID, Waiting] = {}
        self._is_busy = asyncio.Event()
        self._looking = asyncio.Lock()
        self._asked_at_s = 0.0
        self._tasks = [
            asyncio.create_task(self._listen_forever()),
            asyncio.create_task(self._look_forever()),
        ]

    async def push(self, call: Call, payload: bytes, request: web.BaseRequest) -> Waiting:
        """Queue the call with its payload; `outcome` must follow.

        Raises AppSyncCallsFullError, QueueFullError, and QueueUnavailableError if it is certain that it will not run.
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
        self._limit.check(self._of_app[call.app_name])
        waiting = self._pending[call.id] = Waiting(call, request)
        self._of_app[call.app_name] += 1
        try:
            await self._queue.push([entry])  # the reply may come before this returns
        except QueueUnavailableError as error:
            if not error.may_have_happened:
                self._forget(call)
                raise
            waiting.doubt()
        except BaseException:
            self._forget(call)
            raise
        waiting.start(wait_s, self._start_s)
        self._is_busy.set()
        return waiting

    async def outcome(self, waiting: Waiting) -> Outcome:
        """How the call ended. Bounded: some end is found for every call.

        Raises QueueUnavailableError if its push was not confirmed, and it is certain by now that it will not run.
        """
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
        """Answer all that is not answered after *grace_s*: the process ends. A call that runs then goes on."""
        self._giving_up.drain(grace_s)

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
        self._of_app[call.app_name] -= 1
        if not self._of_app[call.app_name]:
            del self._of_app[call.app_name]
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
                    await self._giving_up.look(list(self._pending.values()))
            except QueueUnavailableError:
                await asyncio.sleep(RETRY_S)  # who waits for the queue says that it is away
            except Exception:  # noqa: BLE001 - the task's outermost guard: one bad look must not end all looking
                _log.exception("looking after sync calls failed")
                await asyncio.sleep(RETRY_S)
