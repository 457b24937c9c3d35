"""Admission: refuses calls that the queue has no room for, before anything of them is stored.

Counts what was let in since the depth was read, and reads it again when that is a second old. The queue itself
enforces the exact limit, and whoever pushes says when it does; this keeps rows out of the store that can't be queued.
"""

import asyncio
import time

from api.outage import Outage
from common.errors import QueueFullError, QueueUnavailableError
from common.queue.base import MessageQueue

DEPTH_MAX_AGE_S = 1.0
PATIENCE_S = 0.25  # how long a call waits for the depth before it is judged by the last one known


class Admission:
    """How many more calls fit. Without Redis it goes on counting from what it last knew."""

    def __init__(self, queue: MessageQueue, max_calls: int) -> None:
        self._queue = queue
        self._max_calls = max_calls
        self._known = 0
        self._since = 0
        self._is_full = False
        self._read_at_s = -DEPTH_MAX_AGE_S
        self._reading: asyncio.Task[None] | None = None
        self._outage = Outage("reading the queue's depth")

    async def admit(self) -> None:
        """Count one call in. Raises QueueFullError. Safe to cancel."""
        await self._refresh()
        if self._is_full or self._known + self._since >= self._max_calls:
            raise QueueFullError
        self._since += 1

    def hear(self, *, is_full: bool) -> None:
        """Refuse all calls from a push that the queue refused to the next one that it took."""
        self._is_full = is_full

    def withdraw(self, calls: int = 1) -> None:
        """Count calls out again that were let in but not stored."""
        self._since = max(0, self._since - calls)

    async def aclose(self) -> None:
        """Cancel a reading under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _refresh(self) -> None:
        now_s = time.monotonic()
        if self._reading is None:
            if now_s - self._read_at_s < DEPTH_MAX_AGE_S:
                return
            self._read_at_s = now_s
            self._reading = asyncio.create_task(self._read())
        patience_s = self._read_at_s + PATIENCE_S - now_s
        if patience_s > 0:
            await asyncio.wait({self._reading}, timeout=patience_s)

    async def _read(self) -> None:
        try:
            depth = await self._queue.depth()
        except QueueUnavailableError as error:
            self._outage.began(error)
        else:
            self._outage.ended()
            self._known, self._since = depth.calls, 0
        finally:
            self._reading = None
