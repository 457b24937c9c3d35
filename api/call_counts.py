"""CallCounter: how many calls there are, counted seldom, whoever asks how often.

Counting reads every stored call, and on a large table that takes its time. So one count is made at a time, for all who
ask meanwhile, and the next one not before it is worth it: counting may take a tenth of the time at most.
"""

import asyncio
import time

from common.errors import StoreUnavailableError
from common.store.base import Datastore
from common.store.steering import CallCounts

PAUSE_S = 5.0
REST_PER_COUNT = 10  # how many times as long as a count took nothing is counted after it
MAX_PATHS = 10_000  # of which the counts are kept one by one; what is more is in the sums only


class CallCounter:
    """Owns the task that counts. Made and closed inside the running loop."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._last: CallCounts | None = None  # None: there was none, or it failed
        self._next_at_s = 0.0
        self._counting: asyncio.Task[CallCounts] | None = None

    async def counts(self) -> CallCounts:
        """The counts, PAUSE_S old at most where counting is quick. Raises StoreUnavailableError. Safe to cancel."""
        if self._counting is None:
            if time.monotonic() < self._next_at_s:
                if self._last is None:
                    raise StoreUnavailableError
                return self._last
            self._counting = asyncio.create_task(self._count())
        return await asyncio.shield(self._counting)

    async def aclose(self) -> None:
        """Cancel a count under way."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait({self._counting})

    async def _count(self) -> CallCounts:
        begun_s, self._last, rest = time.monotonic(), None, 1
        try:
            self._last = await self._store.count_calls(MAX_PATHS)
            rest = REST_PER_COUNT
            return self._last
        finally:
            ended_s = time.monotonic()
            self._next_at_s = ended_s + max(PAUSE_S, rest * (ended_s - begun_s))
            self._counting = None
