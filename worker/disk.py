"""DiskWatch: ends containers with a writable root that have written more than they may.

What counts is what the container wrote to its root and to its volumes. It is measured at intervals, as few engines can
limit it themselves: a fast writer gets further than the limit before it is ended.
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

    async def run(self) -> None:
        while True:
            try:
                for container in await self._driver.list(self._labels):
                    await self._check(container)
            except EngineUnavailableError as error:
                log.warning("writable roots not measured", cause=cause_of(error))
            await asyncio.sleep(INTERVAL_S)

    async def _check(self, container: ContainerInfo) -> None:
        written_bytes = await self._driver.written_bytes(container.id)
        if written_bytes <= self._max_bytes:
            return
        log.warning("container ended: it wrote too much", container=container.id, mb=written_bytes // _MB)
        for run in self._runs.all():
            if run.token == token_of(container.labels) or run.container == container.labels.get(LABEL_HOT):
                run.stop(Verdict.WROTE_TOO_MUCH)
        await self._driver.kill(container.id)  # a hot one may serve nobody now
