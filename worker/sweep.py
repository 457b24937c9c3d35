"""Sweeper: removes containers that nobody watches over any more.

Containers of an incarnation of this installation without a fresh heartbeat, and our own that nothing here holds any
more. Never those of another installation, nor of a live incarnation. Heartbeats say nothing while the store is away,
silent, or has just come back: then it holds off for as long as a heartbeat stays fresh, so that everybody can show that
they live. That the store was silent shows in our own heartbeat, which came late or is overdue.
"""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from common.errors import EngineUnavailableError, StoreUnavailableError
from common.settings import Settings
from common.store.base import Datastore
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.containers.driver import (
    LABEL_CALL,
    LABEL_INCARNATION,
    LABEL_INSTALLATION,
    ContainerDriver,
    ContainerInfo,
)
from worker.labels import Identity

INTERVAL_S = 10.0

log = get_logger("sweep")


class Sweeper:
    """Sweeps at the start and then at intervals, until it is cancelled.

    ``is_in_use`` tells, by its labels, whether a container of our own incarnation still is.
    """

    def __init__(
        self,
        store: Datastore,
        driver: ContainerDriver,
        is_in_use: Callable[[dict[str, str]], bool],
        identity: Identity,
        settings: Settings,
    ) -> None:
        self._store = store
        self._driver = driver
        self._is_in_use = is_in_use
        self._identity = identity
        self._hold_s = settings.heartbeat_stale_s
        self._interval_s = min(INTERVAL_S, settings.heartbeat_stale_s)
        self._silent_s = 2 * settings.heartbeat_s
        self._not_before = 0.0
        self._heard_at = time.monotonic()

    def hold(self) -> None:
        """The store did not answer, or forgot who lives: believe no heartbeat to be stale for a while."""
        self._not_before = time.monotonic() + self._hold_s

    def hear(self) -> None:
        """Our own heartbeat was written."""
        self._look_for_silence()
        self._heard_at = time.monotonic()

    def _look_for_silence(self) -> None:
        if time.monotonic() - self._heard_at > self._silent_s:
            self.hold()

    async def run(self) -> None:
        while True:
            self._look_for_silence()
            if time.monotonic() >= self._not_before:
                try:
                    await self.sweep()
                except StoreUnavailableError:
                    self.hold()
                except EngineUnavailableError as error:
                    log.warning("containers not swept", slug=error.slug)
            await asyncio.sleep(self._interval_s)

    async def sweep(self) -> None:
        """Remove what is abandoned. The listing comes first: what is created after it is not judged by it.

        One that can't be removed holds up none of those after it; the next sweep tries it again. Raises
        EngineUnavailableError if the engine is away.
        """
        found = await self._driver.list({LABEL_INSTALLATION: str(self._identity.installation)})
        if not found:
            return
        live = await self._store.live_incarnations()
        for container in found:
            if self._is_abandoned(container, live):
                log.info(
                    "removing abandoned container",
                    call_id=container.labels.get(LABEL_CALL),
                    incarnation=container.labels.get(LABEL_INCARNATION),
                )
                try:
                    await self._driver.remove(container.id)
                except EngineUnavailableError as error:
                    log.warning("container not removed", container=container.id, cause=cause_of(error))
                    await self._driver.check()  # an engine that is away would fail on all of them

    def _is_abandoned(self, container: ContainerInfo, live: set[UUID]) -> bool:
        incarnation = container.labels.get(LABEL_INCARNATION, "")
        if incarnation == str(self._identity.incarnation):
            return not self._is_in_use(container.labels)
        return incarnation not in {str(known) for known in live}
