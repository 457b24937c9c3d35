"""The worker put together: the only place where its parts are made and joined. They close in reverse order.

``serve`` is the child process: one incarnation, from its registration to the end of its drain.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from msgspec import Struct

from common.errors import UnavailableError
from common.queue.announcer import Announcer
from common.queue.base import MessageQueue
from common.queue.redis import RedisQueue
from common.settings import Settings
from common.store.base import Datastore, WorkerNetwork
from common.store.finished import FinishedRecorder
from common.store.postgres import PostgresStore
from common.telemetry.logs import get_logger
from worker.access import Access
from worker.backoff import Backoff
from worker.causes import cause_of
from worker.chores import Chore, keep_running
from worker.cold import ColdRunner
from worker.containers.docker import DockerDriver
from worker.containers.driver import LABEL_HOT, LABEL_TOKEN, ContainerDriver
from worker.containers.firewall import Firewall
from worker.containers.images import Images
from worker.containers.pool import ContainerPool
from worker.containers.slots import PoolLimits
from worker.disk import DiskWatch
from worker.executor import Executor
from worker.health import Health, Watched
from worker.heartbeat import Heartbeat
from worker.hot import HotRunner
from worker.intake import Intake
from worker.labels import Identity
from worker.leases import LeaseKeeper
from worker.livelogs import LiveLogs
from worker.loop import ReserveLoop
from worker.metrics import Metrics
from worker.recorder import Recorder
from worker.resources import ResourceBudget, budget_for, usable_memory_mb
from worker.runs import Runs, Verdict
from worker.sharing import MemorySharing, machine
from worker.spool import Spool
from worker.sweep import Sweeper

CONCLUDE_S = 15.0  # after the drain: how long calls that were cut off may take to be given back

Part = TypeVar("Part")

log = get_logger("worker")


class Worker(Struct, frozen=True, kw_only=True):
    """The running parts of one incarnation."""

    store: Datastore
    queue: MessageQueue
    driver: ContainerDriver
    metrics: Metrics
    runs: Runs
    loop: ReserveLoop
    recorder: Recorder
    live_logs: LiveLogs
    leases: LeaseKeeper
    heartbeat: Heartbeat
    sweeper: Sweeper
    sharing: MemorySharing
    disk: DiskWatch
    firewall: Firewall | None

    def why_not_ready(self) -> str | None:
        """What keeps this worker from being of use now; None if nothing does."""
        return self.loop.why_not_ready or self.heartbeat.why_stale

    def checks(self) -> dict[str, Awaitable[object]]:
        """A question to each server."""
        return {"postgres": self.store.check(), "redis": self.queue.check(), "engine": self.driver.check()}

    async def run(self, stop: asyncio.Event, drain_s: float) -> None:
        """Take and run calls until *stop*; then finish what runs, for *drain_s*, and give back what is left."""
        async with asyncio.TaskGroup() as group:
            chores: tuple[Chore, ...] = (
                self.recorder,
                self.live_logs,
                self.leases,
                self.heartbeat,
                self.sweeper,
                self.sharing,
                self.disk,
            )
            if self.firewall is not None:
                chores = (*chores, self.firewall)
            tasks = [group.create_task(keep_running(chore)) for chore in chores]
            looping = group.create_task(self.loop.run())
            await stop.wait()
            log.info("draining", count=len(self.runs), drain_s=drain_s)
            self.metrics.draining.set(1)
            self.heartbeat.drain()
            self.sharing.drain()
            self.loop.stop()
            await asyncio.wait({looping}, timeout=drain_s)
            self.runs.stop_all(Verdict.DRAINED)
            await asyncio.wait({looping}, timeout=CONCLUDE_S)
            for task in (looping, *tasks):
                task.cancel()


async def serve(settings: Settings, incarnation: UUID) -> None:
    """Be this incarnation until SIGTERM, or until the supervisor is gone (end of stdin); then drain.

    Waits for servers that are away at the start. Raises FatalError if it must not run as it is.
    """
    structlog.contextvars.bind_contextvars(incarnation=incarnation)
    stop = _stop_event()
    metrics = Metrics()
    health = Health(metrics)
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(_start(health, settings, incarnation, metrics, stack))
        worker = await _unless_stopped(starting, stop)
        if worker is None:
            return
        health.attach(Watched(worker.why_not_ready, worker.checks, Access(worker.store.get_tokens)))
        await worker.run(stop, settings.drain_s)
    log.info("drained")


async def _start(
    health: Health, settings: Settings, incarnation: UUID, metrics: Metrics, stack: AsyncExitStack
) -> Worker:
    await stack.enter_async_context(health.serve(settings))  # first: it shows what is waited for then
    return await _assemble(settings, incarnation, metrics, stack)


async def _assemble(settings: Settings, incarnation: UUID, metrics: Metrics, stack: AsyncExitStack) -> Worker:
    budget, machine_mb = _budget(settings)
    patience = _Patience()
    store = await patience.reach("Postgres", lambda: PostgresStore.open(settings))
    stack.push_async_callback(store.aclose)
    queue = RedisQueue.open(settings)
    stack.push_async_callback(queue.aclose)
    await patience.reach("Redis", queue.check)
    identity = Identity(
        installation=await patience.reach("Postgres", store.installation_id), incarnation=incarnation
    )
    host = socket.gethostname()
    firewall = _firewall(settings)
    network = partial(_network, settings, firewall)

    async def register() -> None:
        await store.register_worker(incarnation, host, budget.slots, budget.memory_mb, network(), machine())

    await patience.reach("Postgres", register)
    stack.push_async_callback(_forget, store, incarnation)
    driver = await stack.enter_async_context(DockerDriver.open(settings, firewall))
    images = Images(driver, settings)
    stack.push_async_callback(images.aclose)
    pool = ContainerPool(driver, _pool_limits(settings), lambda: budget.free_mb)
    stack.push_async_callback(pool.aclose)
    sharing = MemorySharing(store, budget, incarnation, machine_mb, pool.make_room, settings)
    await patience.reach("Postgres", sharing.look)

    runs = Runs()
    finished = FinishedRecorder(store)
    stack.push_async_callback(finished.aclose)
    spool = Spool(settings, identity.installation)
    await patience.reach("Postgres", lambda: spool.settle_left(store))
    announcer = Announcer(queue)
    stack.push_async_callback(announcer.aclose)
    live_logs = LiveLogs(store, announcer)
    recorder = Recorder(store, queue, finished, spool, announcer, live_logs, metrics)
    cold = ColdRunner(store, recorder, driver, images, pool, identity, settings)
    hot = HotRunner(store, recorder, driver, images, pool, identity, settings)
    executor = Executor(recorder, driver, cold, hot, settings.max_attempts)
    intake = Intake(queue, store, recorder, announcer, incarnation, settings.max_attempts)
    sweeper = Sweeper(store, driver, lambda labels: _is_in_use(labels, runs, pool), identity, settings)
    if patience.was_needed:
        sweeper.hold()
    log.info("started", host=host, slots=budget.slots, memory_mb=budget.memory_mb)
    return Worker(
        store=store,
        queue=queue,
        driver=driver,
        metrics=metrics,
        runs=runs,
        loop=ReserveLoop(intake, executor, driver, budget, runs, metrics),
        recorder=recorder,
        live_logs=live_logs,
        leases=LeaseKeeper(queue, store, runs, metrics, settings.lease_s),
        heartbeat=Heartbeat(store, sweeper, incarnation, register, network, settings),
        sweeper=sweeper,
        sharing=sharing,
        disk=DiskWatch(driver, runs, identity, settings),
        firewall=firewall,
    )


def _budget(settings: Settings) -> tuple[ResourceBudget, int]:
    """What this worker may use, without memory where its part of the machine's is still to be told; and all of that."""
    budget = budget_for(settings)
    if settings.worker_memory_mb:
        return budget, usable_memory_mb()
    machine_mb = budget.memory_mb
    budget.resize(0)
    return budget, machine_mb


def _is_in_use(labels: dict[str, str], runs: Runs, pool: ContainerPool) -> bool:
    """Whether a container of this incarnation serves a call, or waits for one."""
    if labels.get(LABEL_HOT):
        return pool.holds(labels[LABEL_HOT])
    return labels.get(LABEL_TOKEN) in {str(run.token) for run in runs.all()}


def _firewall(settings: Settings) -> Firewall | None:
    """The rules to set; None if no function has a network, or if they are the operator's own business."""
    if settings.network == "none" or settings.network_firewall == "off":
        return None
    return Firewall(
        allow_private=settings.network_private, is_required=settings.network_firewall == "required"
    )


def _network(settings: Settings, firewall: Firewall | None) -> WorkerNetwork:
    """What the functions reach now."""
    if settings.network == "none":
        return WorkerNetwork(state="none")
    if firewall is None:
        return WorkerNetwork(state="open", problem="MILLRACE_NETWORK_FIREWALL=off")
    return WorkerNetwork(state="open" if firewall.problem else "guarded", problem=firewall.problem)


def _pool_limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        max_containers=settings.hot_max_containers,
        max_per_route=settings.hot_max_per_route,
        pause_after_s=settings.hot_pause_after_s,
    )


class _Patience:
    """Waits for servers that are away at the start; remembers whether one was."""

    def __init__(self) -> None:
        self.was_needed = False

    async def reach(self, server: str, operation: Callable[[], Awaitable[Part]]) -> Part:
        backoff = Backoff(0.2, 5)
        while True:
            try:
                return await operation()
            except UnavailableError as error:
                self.was_needed = True
                log.warning("server does not answer yet", server=server, cause=cause_of(error))
                await backoff.sleep()


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM, and by the end of stdin, which the supervisor holds open for as long as it lives."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all that run in a terminal: the supervisor decides
    stdin = sys.stdin.fileno()

    def look() -> None:
        if not os.read(stdin, 1):
            loop.remove_reader(stdin)
            stop.set()

    loop.add_reader(stdin, look)
    return stop


async def _unless_stopped(starting: asyncio.Task[Worker], stop: asyncio.Event) -> Worker | None:
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return starting.result() if starting.done() else None
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait({starting, stopping})


async def _forget(store: PostgresStore, incarnation: UUID) -> None:
    try:
        await store.remove_worker(incarnation)
    except UnavailableError:
        log.warning("incarnation not removed, its heartbeat will become stale")
