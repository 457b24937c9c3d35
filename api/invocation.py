"""Accepting calls: submit_async, by group commit. Records first: a call is accepted when its row is committed.

Requests that come while a commit is under way share the next one. Each is answered when its own is done. The push to
the queue follows; whether it succeeds does not matter to the answer, because the reconciler has what it missed. A call
whose idempotency key came before is not stored: the answer is the call of then.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from api.metrics import Metrics
from api.outage import Outage
from api.pusher import Pusher
from common.errors import IdempotencyKeyReusedError, StoreUnavailableError
from common.models import Call, QueueEntry, RouteRevision
from common.store.base import Datastore, EarlierCall, IdempotencyKey, Submission
from common.telemetry.logs import get_logger

BATCH_MAX_CALLS = 256
BATCH_MAX_BYTES = 8 * 1024 * 1024
# A pushed call shows in the queue's depth. Worth a moment's wait, so that who submitted it finds it there.
PUSH_PATIENCE_S = 0.1
FLUSH_S = 10.0

_log = get_logger("invocation")

Pushed = asyncio.Future[None] | None


class Accepted(NamedTuple):
    """The call that a client gets: the one it submitted or, for a key that came before, the one of then."""

    call_id: UUID
    is_replay: bool


class _Committed(NamedTuple):
    accepted: Accepted
    pushed: Pushed


class _Waiting(NamedTuple):
    submission: Submission
    committed: asyncio.Future[_Committed]


class Submitter:
    """Owns the task that commits. Made and closed inside the running loop."""

    def __init__(self, store: Datastore, pusher: Pusher, metrics: Metrics) -> None:
        self._store = store
        self._pusher = pusher
        self._metrics = metrics
        self._waiting: deque[_Waiting] = deque()
        self._under_way: list[_Waiting] = []
        self._outage = Outage("storing calls")
        self._has_work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._task = asyncio.create_task(self._commit_forever())

    async def submit_async(
        self, call: Call, key: IdempotencyKey | None = None, revision: RouteRevision | None = None
    ) -> Accepted:
        """Store the call; it is accepted when this returns.

        Raises StoreUnavailableError (then it may or may not be stored), IdempotencyKeyReusedError, and what is wrong
        with this call alone. Cancelling it fails no other call; this one may be stored all the same.
        """
        (end,) = await self.submit_all([Submission(call=call, key=key, revision=revision)])
        if isinstance(end, BaseException):
            raise end
        return end

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Accepted | BaseException]:
        """submit_async of each, in this order and with as few commits as possible: what became of each.

        Raises StoreUnavailableError if nothing is stored any more.
        """
        if self._task.done():
            raise StoreUnavailableError
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(submission, loop.create_future()) for submission in submissions]
        self._waiting.extend(waiting)
        self._is_idle.clear()
        self._has_work.set()
        ends = await asyncio.gather(*(one.committed for one in waiting), return_exceptions=True)
        pushed = {end.pushed for end in ends if isinstance(end, _Committed) and end.pushed is not None}
        if pushed:
            await asyncio.wait(pushed, timeout=PUSH_PATIENCE_S)
        return [end.accepted if isinstance(end, _Committed) else end for end in ends]

    async def aclose(self) -> None:
        """Commit what waits, within FLUSH_S; the rest gets StoreUnavailableError."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._is_idle.wait()
        except TimeoutError:
            _log.error("calls were not stored before the end", count=len(self._waiting))
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})
            _reject([*self._under_way, *self._waiting], StoreUnavailableError())

    async def _commit_forever(self) -> None:
        while True:
            self._under_way = self._next_batch()
            if self._under_way:
                await self._commit(self._under_way)
                continue
            self._is_idle.set()
            self._has_work.clear()
            await self._has_work.wait()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        room_bytes = BATCH_MAX_BYTES
        while self._waiting and len(batch) < BATCH_MAX_CALLS:
            size_bytes = len(self._waiting[0].submission.call.payload or b"")
            if batch and size_bytes > room_bytes:
                break
            waiting = self._waiting.popleft()
            if not waiting.committed.done():  # its client went away before anything was done for it
                batch.append(waiting)
                room_bytes -= size_bytes
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> bool:
        """Answer everyone in *batch*; False if the store is away."""
        try:
            answers = await self._store.submit_calls([waiting.submission for waiting in batch])
        except StoreUnavailableError as error:
            self._outage.began(error)
            _reject(batch, StoreUnavailableError())
            return False
        except Exception as error:  # noqa: BLE001 - the task's outermost guard; also how one bad call fails alone
            if len(batch) == 1:
                _reject(batch, error)
                return True
            return await self._commit_one_by_one(batch)
        self._outage.ended()
        entries = [answer for answer in answers if isinstance(answer, QueueEntry)]
        self._metrics.accepted.inc(len(entries))
        pushed = self._pusher.add(entries) if entries else None
        for waiting, answer in zip(batch, answers, strict=True):
            _answer(waiting, answer, pushed)
        return True

    async def _commit_one_by_one(self, batch: Sequence[_Waiting]) -> bool:
        for position, waiting in enumerate(batch):
            if not await self._commit([waiting]):
                _reject(batch[position:], StoreUnavailableError())
                return False
        return True


def _answer(waiting: _Waiting, answer: QueueEntry | EarlierCall, pushed: Pushed) -> None:
    if waiting.committed.done():
        return
    if isinstance(answer, QueueEntry):
        waiting.committed.set_result(_Committed(Accepted(answer.id, is_replay=False), pushed))
    elif answer.is_same:
        waiting.committed.set_result(_Committed(Accepted(answer.id, is_replay=True), None))
    else:
        waiting.committed.set_exception(IdempotencyKeyReusedError())


def _reject(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.committed.done():
            waiting.committed.set_exception(error)
