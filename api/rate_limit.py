"""RateLimit: how many requests one client may make. A token bucket for each, in memory, for this process alone."""

import time
from collections.abc import Callable

MAX_CLIENTS = 10_000


class RateLimit:
    """*per_s* requests a second, and *burst* at once after a rest; a rate of 0 lets everything through.

    Remembers the MAX_CLIENTS that asked last. One that is forgotten begins anew. ``clock`` in seconds.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and when that was

    @property
    def is_on(self) -> bool:
        return self._per_s > 0

    def take(self, client: str) -> float:
        """Let one request of *client* through: 0, or the seconds until one would be. A refused one costs nothing."""
        if not self.is_on:
            return 0.0
        now_s = self._clock()
        left, at_s = self._buckets.pop(client, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        is_let_through = left >= 1
        # Written anew, it is the last of them all: the first is the one that has not asked for longest.
        self._buckets[client] = (left - 1 if is_let_through else left, now_s)
        if len(self._buckets) > MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if is_let_through else (1 - left) / self._per_s
