"""Backoff: how long to wait before trying again what just failed. With jitter, so that many don't come back at once."""

import asyncio
import random


class Backoff:
    """Waits that double from *first_s* to *max_s* until ``reset``, each shortened by up to a third at random."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._wait_s = first_s

    def next_s(self) -> float:
        """How long to wait now, in seconds; the next answer is twice as long."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._max_s)
        return wait_s * (1 - random.random() / 3)  # noqa: S311 - no secret

    def reset(self) -> None:
        """It worked: begin anew the next time."""
        self._wait_s = self._first_s

    async def sleep(self) -> None:
        """Wait ``next_s``. Safe to cancel."""
        await asyncio.sleep(self.next_s())
