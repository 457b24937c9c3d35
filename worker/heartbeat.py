"""Heartbeat: shows that this incarnation lives. When it is stale, its calls and its containers are anybody's.

A store that does not know it any more (it was restored, or this worker was cut off for long) is told of it again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from common.errors import StoreUnavailableError
from common.settings import Settings
from common.store.base import Datastore, WorkerNetwork
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.sweep import Sweeper

log = get_logger("heartbeat")


class Heartbeat:
    """Beats until it is cancelled. ``register`` makes the incarnation known to the store."""

    def __init__(
        self,
        store: Datastore,
        sweeper: Sweeper,
        incarnation: UUID,
        register: Callable[[], Awaitable[None]],
        network: Callable[[], WorkerNetwork],
        settings: Settings,
    ) -> None:
        self._store = store
        self._sweeper = sweeper
        self._incarnation = incarnation
        self._register = register
        self._network = network
        self._interval_s = settings.heartbeat_s
        self._stale_s = settings.heartbeat_stale_s
        self._written_at = time.monotonic()  # the registration was the first
        self._cause = "no answer yet"
        self._is_draining = False
        self._wake = asyncio.Event()

    @property
    def why_stale(self) -> str | None:
        """Why others must take this incarnation for dead by now; None while they don't."""
        silent_s = time.monotonic() - self._written_at
        return (
            f"heartbeat not written for {silent_s:.0f} s: {self._cause}" if silent_s > self._stale_s else None
        )

    def drain(self) -> None:
        """Tell others at once that this worker takes no more calls."""
        self._is_draining = True
        self._wake.set()

    async def run(self) -> None:
        is_missing = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._beat()
            except StoreUnavailableError as error:
                self._cause = cause_of(error)
                if not is_missing:
                    log.warning("heartbeat not written", cause=self._cause)
                is_missing = True
                self._sweeper.hold()
            else:
                if is_missing:
                    silent_s = time.monotonic() - self._written_at
                    log.warning("heartbeat written again", silent_s=round(silent_s, 1))
                is_missing = False
                self._written_at = time.monotonic()
                self._sweeper.hear()

    async def _beat(self) -> None:
        if await self._store.heartbeat(self._incarnation, self._network(), is_draining=self._is_draining):
            return
        log.warning("the store did not know this incarnation any more: registering it again")
        self._sweeper.hold()  # nor others, maybe, that live
        await self._register()
