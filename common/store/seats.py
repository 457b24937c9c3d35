"""Seats: who may use a connection now, first come, first served; as many as the pool holds, or as the server has left.

When Postgres refuses another connection ("too many clients"), those that there are go round: whoever waits gets the
next one that is given back, in order. From time to time one more is tried.
"""

import asyncio
import time
from collections import deque

from common.errors import StoreUnavailableError

GROW_AFTER_S = 5.0


class Seats:
    """Counts uses of connections. Bound to one event loop; ``take`` is safe to cancel."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._used = 0
        self._held = 0
        self._refused_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def used(self) -> int:
        return self._used

    async def take(self, *, is_first: bool = False) -> None:
        """Wait for a seat; with *is_first* before all who wait already."""
        if (is_first or not self._waiting) and self._has_room():
            self._used += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if is_first else self._waiting.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given the seat in the same moment
                self.give_back()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def give_back(self) -> None:
        """Leave a seat to the next."""
        self._used -= 1
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                turn.set_result(None)

    def refused(self) -> None:
        """Give a seat back for which the server had no connection: there are no more than the others use."""
        self._refused_at = time.monotonic()
        self._limit = max(1, self._used - 1)
        self.give_back()

    def hold(self) -> None:
        """Count a long use whose owner needs other connections. Raises StoreUnavailableError if none would be left."""
        if self._held + 1 >= self._limit:
            raise StoreUnavailableError(
                f"Datastore has too few connections left ({self._limit}) for this to go on beside calls"
            )
        self._held += 1

    def let_go(self) -> None:
        """End what `hold` began."""
        self._held -= 1

    def _has_room(self) -> bool:
        if self._used >= self._limit < self._most and time.monotonic() - self._refused_at > GROW_AFTER_S:
            self._refused_at = time.monotonic()
            self._limit += 1
        return self._used < self._limit
