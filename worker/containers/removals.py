"""Removals: ends hot containers for certain, or leaves them to the sweep. Decides nothing about which.

It keeps the names of all that may be on the engine: from before their creation until they are removed, or given up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import EngineUnavailableError
from common.telemetry.logs import get_logger
from worker.backoff import Backoff
from worker.containers.driver import ContainerDriver
from worker.containers.shelf import unpause

REMOVE_TRIES = 3
CLOSE_S = 30.0

log = get_logger("pool")


@dataclass(frozen=True, slots=True)
class _Removal:
    task: asyncio.Task[None]
    freed_mb: int


class Removals:
    """What is on its way out. Each removal is a task that nobody's cancellation reaches but ``aclose``'s."""

    def __init__(self, driver: ContainerDriver) -> None:
        self.names: set[str] = set()
        self._driver = driver
        self._pending: dict[str, _Removal] = {}

    @property
    def pending_mb(self) -> int:
        """What will be free when all are gone, in MiB."""
        return sum(removal.freed_mb for removal in self._pending.values())

    async def claim(self, name: str, cap: int) -> None:
        """Enter the name of a container to be created: once fewer than *cap* are there, if what is under way allows."""
        while cap and len(self.names) >= cap and await self.wait_for_any():
            pass
        self.names.add(name)

    def begin(
        self, name: str, freed_mb: int, pausing: asyncio.Task[None] | None, on_gone: Callable[[], None]
    ) -> None:
        """Kill and remove the container, which may be paused, or on its way to that; then, or given up, *on_gone*."""
        task = asyncio.create_task(self._remove(name, pausing))
        self._pending[name] = _Removal(task, freed_mb)
        task.add_done_callback(lambda _: self._forget(name))
        task.add_done_callback(lambda _: on_gone())

    async def wait_for(self, name: str) -> None:
        """Wait until this one is gone, if it is under way. Safe to cancel."""
        removal = self._pending.get(name)
        if removal is not None:
            await asyncio.wait({removal.task})

    async def wait_for_any(self) -> bool:
        """Wait until one more is gone; False if none is under way. Bounded; safe to cancel."""
        pending = {removal.task for removal in self._pending.values()}
        if pending:
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        return bool(pending)

    async def aclose(self) -> None:
        """Wait until all are gone, up to CLOSE_S."""
        pending = {removal.task for removal in self._pending.values()}
        if pending:
            _, late = await asyncio.wait(pending, timeout=CLOSE_S)
            for task in late:
                task.cancel()

    async def _remove(self, name: str, pausing: asyncio.Task[None] | None) -> None:
        backoff = Backoff(0.2, 2)
        for _ in range(REMOVE_TRIES):
            try:
                await unpause(self._driver, name, pausing)  # a frozen one may not die of its signal
                await self._driver.remove(name)
            except EngineUnavailableError:
                await backoff.sleep()
            else:
                return
        log.warning("container not removed, left to the sweep", container=name)

    def _forget(self, name: str) -> None:
        del self._pending[name]
        self.names.discard(name)
