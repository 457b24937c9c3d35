"""Keeps programs running: starts them in order, starts again what dies, shows their warnings, stops them in reverse."""

import asyncio
import time
from pathlib import Path
from typing import Protocol

from common.errors import FatalError
from deploy.cli.logs import Importance, follow
from deploy.cli.terminal import Terminal

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0


class Unit(Protocol):
    """A program to keep: an embedded server, the api, the worker."""

    @property
    def name(self) -> str: ...

    @property
    def log_path(self) -> Path: ...

    async def start(self) -> None:
        """Start and be ready, or raise a FatalError with nothing left running."""

    async def stop(self) -> None:
        """Stop, bounded."""

    async def wait(self) -> str:
        """Wait until it ended by itself; how."""


class Keeper:
    """Owns the units it started. *tasks* belongs to the caller; a bug in a watch ends the caller's block."""

    def __init__(self, tasks: asyncio.TaskGroup, terminal: Terminal) -> None:
        self._tasks = tasks
        self._terminal = terminal
        self._servers: set[Unit] = set()
        self._watches: dict[Unit, list[asyncio.Task[None]]] = {}

    async def start(
        self, unit: Unit, detail: str, importance: Importance, *, is_server: bool = False
    ) -> None:
        """Start *unit*, show it, and from then on keep it running.

        One that *is_server* is kept running while the others stop, as they need it; those are not started again then.
        """
        warnings = follow(
            unit.log_path, importance, lambda text: self._terminal.warning(f"{unit.name}: {text}")
        )
        log_watch = self._tasks.create_task(warnings)
        try:
            with self._terminal.step(unit.name, detail):
                await unit.start()
        except BaseException:
            log_watch.cancel()
            raise
        self._watches[unit] = [log_watch, self._tasks.create_task(self._keep(unit))]
        if is_server:
            self._servers.add(unit)

    async def stop(self, unit: Unit) -> None:
        """Stop *unit* for good, and show it."""
        with self._terminal.step(unit.name, "stopping: what is under way may end first") as show:
            await self._stop(unit)
            show("stopped")

    async def _stop(self, unit: Unit) -> None:
        watches = self._watches.pop(unit)
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)  # one of them may be starting it again just now
        await unit.stop()

    async def stop_all(self, *, is_brief: bool = False) -> None:
        """Stop every unit, the last started first; show each, or if that *is_brief*, all in one line."""
        units = list(reversed(self._watches))
        for unit in self._watches.keys() - self._servers:
            _, keeping = self._watches[unit]
            keeping.cancel()
        if is_brief:
            with self._terminal.step("stopping"):
                for unit in units:
                    await self._stop(unit)
            return
        if units:
            self._terminal.title("Stopping")
        for unit in units:
            await self.stop(unit)

    async def _keep(self, unit: Unit) -> None:
        pause_s = 0.0
        while True:
            started_at = time.monotonic()
            reason = await unit.wait()
            if time.monotonic() - started_at > STEADY_S:
                pause_s = 0.0
            while reason:
                when = f" in {pause_s:.0f} s" if pause_s else ""
                self._terminal.warning(f"{reason}; starting it again{when} (log: {unit.log_path})")
                await asyncio.sleep(pause_s)
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                reason = await self._start_again(unit)

    async def _start_again(self, unit: Unit) -> str:
        try:
            await unit.start()
        except FatalError as error:
            return f"{unit.name} did not start: {error}"
        self._terminal.line(f"{unit.name} runs again")
        return ""
