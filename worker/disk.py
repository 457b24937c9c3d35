"""DiskWatch: ends containers with a writable root that have written more than they may.

What counts is what the container wrote to its root and to its volumes. It is measured at intervals, as few engines can
limit it themselves: a fast writer gets further than the limit before it is ended. One that can't be measured twice in
a row, by an engine that is well otherwise, is ended too: so many files are no way around the limit.
"""

import asyncio

from common.errors import EngineUnavailableError
from common.settings import Settings
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.containers.driver import (
    LABEL_HOT,
    LABEL_INCARNATION,
    LABEL_WRITABLE,
    ContainerDriver,
    ContainerInfo,
)
from worker.labels import Identity, token_of
from worker.runs import Runs, Verdict

INTERVAL_S = 2.0

_MB = 1024 * 1024

log = get_logger("disk")


class DiskWatch:
    """Measures until it is cancelled."""

    def __init__(self, driver: ContainerDriver, runs: Runs, identity: Identity, settings: Settings) -> None:
        self._driver = driver
        self._runs = runs
        self._labels = {LABEL_INCARNATION: str(identity.incarnation), LABEL_WRITABLE: "1"}
        self._max_bytes = settings.writable_root_mb * _MB
        self._not_measured: set[str] = set()  # the ids of those of the last round

    async def run(self) -> None:
        while True:
            try:
                await self._look()
            except EngineUnavailableError as error:
                log.warning("writable roots not measured", cause=cause_of(error))
            await asyncio.sleep(INTERVAL_S)

    async def _look(self) -> None:
        not_measured: set[str] = set()
        for container in await self._driver.list(self._labels):
            try:
                written_bytes = await self._driver.written_bytes(container.id)
            except EngineUnavailableError as error:
                await self._driver.check()  # an engine that is away measures none of them
                log.warning("writable root not measured", container=container.id, cause=cause_of(error))
                not_measured.add(container.id)
                if container.id in self._not_measured:
                    await self._end(container, "it can't be measured")
            else:
                if written_bytes > self._max_bytes:
                    await self._end(container, f"it wrote {written_bytes // _MB} MB")
        self._not_measured = not_measured

    async def _end(self, container: ContainerInfo, why: str) -> None:
        log.warning("container ended: its writable root is too large", container=container.id, cause=why)
        for run in self._runs.all():
            if run.token == token_of(container.labels) or run.container == container.labels.get(LABEL_HOT):
                run.stop(Verdict.WROTE_TOO_MUCH)
        await self._driver.kill(container.id)  # a hot one may serve nobody now
