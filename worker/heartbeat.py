"""Heartbeat: shows that this incarnation lives. When it is stale, its calls and its containers are anybody's."""

import asyncio
from uuid import UUID

from common.errors import StoreUnavailableError
from common.store.base import Datastore
from common.telemetry.logs import get_logger
from worker.sweep import Sweeper

log = get_logger("heartbeat")


class Heartbeat:
    """Beats until it is cancelled."""

    def __init__(self, store: Datastore, sweeper: Sweeper, incarnation: UUID, interval_s: float) -> None:
        self._store = store
        self._sweeper = sweeper
        self._incarnation = incarnation
        self._interval_s = interval_s

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._store.heartbeat(self._incarnation)
            except StoreUnavailableError:
                log.warning("heartbeat not written")
                self._sweeper.hold()
