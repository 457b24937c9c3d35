"""Shelf: how long idle containers stay, and that they are paused when nobody has wanted them for a while.

A paused container uses no CPU, so a function can't go on working after its answer. Who calls it next waits for the
engine to let it run again (about 20 ms), so containers in steady use are not paused: see pause_delay.

It calls *on_expired* when the idle time of a container is over; the pool decides what happens then.
"""

import asyncio
import time
from collections.abc import Callable

from common.errors import EngineUnavailableError
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.containers.driver import ContainerDriver
from worker.containers.slots import Place, pause_delay

log = get_logger("pool")


class Shelf:
    """The idle containers of a pool. *pause_after_s* 0: they are never paused."""

    def __init__(
        self, driver: ContainerDriver, pause_after_s: float, on_expired: Callable[[Place], None]
    ) -> None:
        self._driver = driver
        self._pause_after_s = pause_after_s
        self._on_expired = on_expired
        self._pauses: set[asyncio.Task[None]] = set()

    def put(self, place: Place) -> None:
        """It idles from now on, for its idle timeout at most."""
        loop = asyncio.get_running_loop()
        place.timers.append(loop.call_later(place.stock.idle_timeout_s, self._on_expired, place))
        place.idle_since = time.monotonic()
        if self._pause_after_s:
            delay_s = pause_delay(self._pause_after_s, place.gaps_s)
            place.timers.append(loop.call_later(delay_s, self._pause, place))

    def take(self, place: Place) -> None:
        """It does not idle any more. It may be paused, or about to be."""
        if place.timers:
            place.gaps_s.append(time.monotonic() - place.idle_since)
        for timer in place.timers:
            timer.cancel()
        place.timers.clear()

    async def wake(self, place: Place) -> bool:
        """Make sure that a taken one runs; False if it is of no use any more. At once, if it was not paused."""
        if place.pausing is not None:
            try:
                await unpause(self._driver, place.slot.name, place.pausing)
            except EngineUnavailableError as error:
                log.warning("container not unpaused", container=place.slot.name, cause=cause_of(error))
                return False
            place.pausing = None
        return place.slot.is_reusable

    async def aclose(self) -> None:
        """Wait for the pauses that are under way. Bounded, as they are."""
        if self._pauses:
            await asyncio.wait(self._pauses)

    def _pause(self, place: Place) -> None:
        pausing = place.pausing = asyncio.create_task(self._paused(place.slot.name))
        self._pauses.add(pausing)
        pausing.add_done_callback(self._pauses.discard)

    async def _paused(self, name: str) -> None:
        try:
            await self._driver.pause(name)
        except EngineUnavailableError as error:
            log.warning("container not paused", container=name, cause=cause_of(error))


async def unpause(driver: ContainerDriver, name: str, pausing: asyncio.Task[None] | None) -> None:
    """Let a container run again, once *pausing*, if there is one, has frozen it. Raises EngineUnavailableError."""
    if pausing is not None:
        await asyncio.wait({pausing})
        await driver.unpause(name)
