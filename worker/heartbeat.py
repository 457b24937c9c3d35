"""Heartbeat: shows that this incarnation lives. When it is stale, its calls and its containers are anybody's."""

import asyncio
import time
from uuid import UUID

from common.errors import StoreUnavailableError
from common.settings import Settings
from common.store.base import Datastore
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.sweep import Sweeper

log = get_logger("heartbeat")


class Heartbeat:
    """Beats until it is cancelled."""

    def __init__(self, store: Datastore, sweeper: Sweeper, incarnation: UUID, settings: Settings) -> None:
        self._store = store
        self._sweeper = sweeper
        self._incarnation = incarnation
        self._interval_s = settings.heartbeat_s
        self._stale_s = settings.heartbeat_stale_s
        self._written_at = time.monotonic()  # the registration was the first
        self._cause = "no answer yet"

    @property
    def why_stale(self) -> str | None:
        """Why others must take this incarnation for dead by now; None while they don't."""
        silent_s = time.monotonic() - self._written_at
        return (
            f"heartbeat not written for {silent_s:.0f} s: {self._cause}" if silent_s > self._stale_s else None
        )

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._store.heartbeat(self._incarnation)
            except StoreUnavailableError as error:
                self._cause = cause_of(error)
                log.warning("heartbeat not written", cause=self._cause)
                self._sweeper.hold()
            else:
                self._written_at = time.monotonic()
