"""MemorySharing: keeps this worker to its part of the memory of its machine, where other workers may run, too.

A part is lowered here first, idle containers removed for it, and only then in the store; it is raised in the store
first. So what all workers of a machine use together never exceeds it. A worker that starts beside others has its part
after two heartbeats, or when their calls have ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from common.errors import StoreUnavailableError
from common.settings import Settings
from common.store.base import Datastore
from common.store.machine import MemoryUse
from common.telemetry.logs import get_logger
from worker.resources import ResourceBudget

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # the same in all containers of a machine

log = get_logger("memory")


def machine() -> str:
    """What names this machine until it starts again; empty, so that memory is not shared, if that can't be read."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class MemorySharing:
    """Looks once each heartbeat until it is cancelled. ``make_room`` removes idle containers that do not fit."""

    def __init__(
        self,
        store: Datastore,
        budget: ResourceBudget,
        incarnation: UUID,
        machine_mb: int,
        make_room: Callable[[], Awaitable[None]],
        settings: Settings,
    ) -> None:
        self._store = store
        self._budget = budget
        self._incarnation = incarnation
        self._machine_mb = machine_mb
        self._make_room = make_room
        self._shares = not settings.worker_memory_mb
        self._interval_s = settings.heartbeat_s
        self._is_draining = False
        self._problem = ""

    def drain(self) -> None:
        """This worker takes no more calls: what it does not use is for others."""
        self._is_draining = True

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                while await self.look():
                    pass
            except StoreUnavailableError:
                continue  # the heartbeat says so

    async def look(self) -> bool:
        """Tell the store what this worker has, and take what it may have; whether it has less than before."""
        budget = self._budget
        use = MemoryUse(
            machine_mb=self._machine_mb,
            has_mb=max(budget.memory_mb, budget.used_mb),
            shares=self._shares,
            is_draining=self._is_draining,
        )
        share = await self._store.share_memory(self._incarnation, use)
        if share is None:
            return False  # the heartbeat makes it known again
        if share.problem != self._problem and share.problem:
            log.warning("memory may run out: lower MILLRACE_WORKER_MEMORY_MB", cause=share.problem)
        self._problem = share.problem
        before_mb, part_mb = budget.memory_mb, min(share.has_mb, share.wanted_mb)
        if part_mb != before_mb:
            log.info("this worker's part of the machine's memory", memory_mb=part_mb, before_mb=before_mb)
            budget.resize(part_mb)
        if part_mb < before_mb:
            await self._make_room()
        return part_mb < before_mb
