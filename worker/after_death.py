"""Undoes what a dead incarnation held. Run by its supervisor, which shares nothing with it but settings."""

import asyncio
from uuid import UUID

from common.errors import EngineUnavailableError
from common.queue.redis import RedisQueue
from common.settings import Settings
from common.store.postgres import PostgresStore
from common.telemetry.logs import get_logger
from worker.causes import cause_of
from worker.containers.docker import DockerDriver
from worker.containers.driver import LABEL_INCARNATION, ContainerDriver
from worker.spool import Spool, has_outcomes

CLEAN_UP_STEP_S = 30.0
CLEAN_UP_ROUNDS = 3

log = get_logger("clean-up")


async def clean_up(settings: Settings, incarnation: UUID) -> None:
    """Undo what a dead incarnation holds: its containers, outcomes, reservations, and its row. Raises nothing.

    In this order: once released, its calls run elsewhere, unless their outcomes are recorded by then. What fails here
    happens later by itself (sweep, leases).
    """
    steps = (_remove_containers, _record_spooled, _release_reservations, _remove_row)
    for step in steps:
        name = step.__name__.strip("_")
        try:
            async with asyncio.timeout(CLEAN_UP_STEP_S):
                done = await step(settings, incarnation)
            log.info("cleaned up", step=name, incarnation=incarnation, count=done)
        except Exception as error:  # noqa: BLE001 - the outermost guard: nothing may keep the next child from starting
            log.warning(
                "not cleaned up", step=name, incarnation=incarnation, cause=repr(error.__cause__ or error)
            )


async def _remove_containers(settings: Settings, incarnation: UUID) -> int:
    removed = 0
    async with DockerDriver.open(settings) as driver:
        for _ in range(CLEAN_UP_ROUNDS):  # the engine may still have been creating one
            found = await driver.list({LABEL_INCARNATION: str(incarnation)})
            if not found:
                break
            removed += sum(await asyncio.gather(*(_is_removed(driver, container.id) for container in found)))
    return removed


async def _is_removed(driver: ContainerDriver, container_id: str) -> bool:
    """False for one that can't be: it must not keep the others."""
    try:
        await driver.remove(container_id)
    except EngineUnavailableError as error:
        log.warning("container not removed", container=container_id, cause=cause_of(error))
        return False
    return True


async def _record_spooled(settings: Settings, _incarnation: UUID) -> int:
    if not has_outcomes(settings):
        return 0
    store = await PostgresStore.open(settings)
    try:
        return await Spool(settings, await store.installation_id()).settle_left(store)
    finally:
        await store.aclose()


async def _release_reservations(settings: Settings, incarnation: UUID) -> int:
    queue = RedisQueue.open(settings)
    try:
        return await queue.release_incarnation(incarnation)
    finally:
        await queue.aclose()


async def _remove_row(settings: Settings, incarnation: UUID) -> int:
    store = await PostgresStore.open(settings)
    try:
        await store.remove_worker(incarnation)
    finally:
        await store.aclose()
    return 1
