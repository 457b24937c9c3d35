"""FinishedRecorder: sync calls are answered first and recorded second, many in one write, well within a second.

A crash in that time loses records, never answers. While the store is away they wait here, up to a bound in number and
in bytes; what is more is lost, and said. Each try takes half as many then: to be away may also mean that a batch was
too large for the time that it had. Keeps of a call only what is recorded. Knows nothing of how it ended.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from common.errors import StoreUnavailableError
from common.models import Call, Outcome
from common.store.base import Datastore, FinishedCall
from common.telemetry.logs import get_logger

GATHER_S = 0.2  # how long the first of a batch waits for others: a commit costs much more than a row
BATCH_CALLS = 500
BATCH_MAX_BYTES = 8 * 1024 * 1024
MAX_WAITING = 20_000
MAX_WAITING_BYTES = 64 * 1024 * 1024  # 64 full logs, or all those calls with short ones
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 2.0
FLUSH_S = 5.0
# In memory, about; as text they are smaller.
_MARK_BYTES = 128
_SAMPLE_BYTES = 1024

_log = get_logger("finished")


class FinishedRecorder:
    """Owns the task that writes. Made and closed inside the running loop."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._waiting: deque[FinishedCall] = deque()
        self._waiting_bytes = 0
        self._batch_max = BATCH_CALLS
        self._has_work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_closing = asyncio.Event()
        self._task = asyncio.create_task(self._record_forever())

    def add(self, call: Call, outcome: Outcome) -> None:
        """Record the end of *call* soon, unless it is recorded already. Never waits and never fails."""
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            _log.error("a call's end is not recorded: too many wait for the store", call_id=call.id)
            return
        finished = _recorded(call, outcome)
        self._waiting.append(finished)
        self._waiting_bytes += _size_bytes(finished)
        self._is_idle.clear()
        self._has_work.set()

    async def aclose(self) -> None:
        """Write what waits, within FLUSH_S, and end the task."""
        self._is_closing.set()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._is_idle.wait()
        except TimeoutError:
            _log.exception("calls were not recorded before the end", count=len(self._waiting))
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _record_forever(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            if not self._waiting:
                self._is_idle.set()
                self._has_work.clear()
                await self._has_work.wait()
                await self._gather()
            batch = self._next_batch()
            try:
                await self._record(batch)
            except StoreUnavailableError:
                _log.warning("ends of sync calls wait for the store", count=len(self._waiting))
                if len(batch) > 1:
                    self._batch_max = len(batch) // 2
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MAX_S)
                continue
            retry_s = RETRY_FIRST_S
            self._batch_max = min(BATCH_CALLS, self._batch_max * 2)
            for _ in batch:
                self._waiting_bytes -= _size_bytes(self._waiting.popleft())

    def _next_batch(self) -> list[FinishedCall]:
        batch: list[FinishedCall] = []
        size_bytes = 0
        for finished in islice(self._waiting, self._batch_max):
            size_bytes += _size_bytes(finished)
            if batch and size_bytes > BATCH_MAX_BYTES:
                break
            batch.append(finished)
        return batch

    async def _gather(self) -> None:
        """Let a batch come together, but for one that is the last."""
        try:
            async with asyncio.timeout(GATHER_S):
                await self._is_closing.wait()
        except TimeoutError:
            return

    async def _record(self, batch: Sequence[FinishedCall]) -> None:
        try:
            await self._store.record_finished(batch)
        except StoreUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - the task's outermost guard; also how one bad call is lost alone
            if len(batch) == 1:
                _log.exception("a call's end can't be recorded", call_id=batch[0].call.id)
                return
            for finished in batch:
                await self._record([finished])


def _recorded(call: Call, outcome: Outcome) -> FinishedCall:
    """Without what came in and what was answered: none of it is recorded, and it may be large."""
    return FinishedCall(
        call=replace(call, payload=None, url="", headers={}, base_env={}, env_vars={}),
        outcome=replace(outcome, result=b"", response_headers={}),
    )


def _size_bytes(finished: FinishedCall) -> int:
    """What of it may be large."""
    outcome = finished.outcome
    return len(outcome.log) + _MARK_BYTES * len(outcome.log_marks) + _SAMPLE_BYTES * len(outcome.stats)
