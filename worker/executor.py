"""Executor: one call from its claim to its end. Platform trouble is handled here; function trouble is an Outcome.

    prepare     remove containers of earlier attempts, fetch the payload, make sure of the image
    launch      create, attach, start
    watch       exchange, wait, sample; kill on the first verdict or at the time limit
    judge       what the engine knows of the end -> Outcome
    conclude    record + ack, or give back; remove the container meanwhile

What goes wrong for reasons that are not the call's own (the engine, the store) gives the call back to the queue, to be
tried again until its attempts are used up. The attempt too is given back, but only where the function never ran.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from common.errors import EngineUnavailableError, StoreUnavailableError, UnavailableError
from common.models import FORMAT_DEFAULT, Detail, Outcome
from common.settings import Settings
from common.store.base import Datastore
from common.telemetry.logs import get_logger
from worker.backoff import Backoff
from worker.beside import beside
from worker.causes import cause_of
from worker.containers.attach import AttachStream
from worker.containers.driver import (
    LABEL_APP,
    LABEL_CALL,
    LABEL_INCARNATION,
    LABEL_INSTALLATION,
    LABEL_PATH,
    LABEL_TOKEN,
    ContainerDriver,
    ContainerSpec,
    FailedForNowError,
    RefusedError,
)
from worker.containers.images import Images
from worker.formats.base import Capture, WireFormat
from worker.formats.default import DefaultFormat
from worker.logcapture import CallLog, CappedBuffer
from worker.outcomes import Ended, cancelled_before_start, judge, refused
from worker.recorder import Recorder
from worker.runs import Run, StoppedError, Verdict
from worker.watch import Watch

FORMATS: dict[str, WireFormat] = {FORMAT_DEFAULT: DefaultFormat()}

SHOW_STARTED_AFTER_S = 1.0
REMOVE_TRIES = 3
RETRY_FIRST_MS = 1_000
RETRY_MAX_MS = 60_000

_WITHOUT_OUTCOME = (Verdict.LOST, Verdict.DRAINED, Verdict.BROKEN)

log = get_logger("executor")


class Identity(Struct, frozen=True, kw_only=True):
    """Whose containers these are: the database that is served, and this start of this worker."""

    installation: UUID
    incarnation: UUID


class GiveBack(Struct, frozen=True, kw_only=True):
    """A run without an outcome: the call returns to the queue."""

    delay_ms: int
    give_back_attempt: bool


class _Prepared(Struct, frozen=True, kw_only=True):
    format: WireFormat
    payload: bytes
    spec: ContainerSpec


class Executor:
    """Runs claimed calls, each in a container of its own."""

    def __init__(
        self,
        store: Datastore,
        recorder: Recorder,
        driver: ContainerDriver,
        images: Images,
        identity: Identity,
        settings: Settings,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._driver = driver
        self._images = images
        self._identity = identity
        self._settings = settings

    async def execute(self, run: Run) -> None:
        """Return when the call is recorded or given back and its container is gone. Raises nothing but CancelledError.

        Cancelled only when the process goes down in disorder: the container is removed then, the lease expires.
        """
        try:
            ending = await self._run(run)
            run.has_ended = True
            await self._conclude(run, ending)
        except asyncio.CancelledError:
            await self._remove(run)
            raise

    async def _run(self, run: Run) -> Outcome | GiveBack | None:
        try:
            async with AsyncExitStack() as stack:
                prepared = await run.unless_stopped(self._prepare(run))
                stream = await run.unless_stopped(self._launch(run, prepared.spec, stack))
                ended = await self._watch(run, prepared, stream)
            return judge(ended, self._settings.result_max_bytes)
        except StoppedError:
            return _stopped(run)
        except RefusedError as error:
            log.warning("call refused", call_id=run.call.id, detail=error.detail, cause=cause_of(error))
            return refused(error)
        except UnavailableError as error:
            log.warning("call interrupted", call_id=run.call.id, slug=error.slug, cause=cause_of(error))
            never_ran = not run.may_have_run and not await self._is_own_trouble(error)
            if isinstance(error, FailedForNowError) and not never_ran and self._is_last_attempt(run):
                return refused(error)  # given back, it would be too many attempts: the reason would be lost
            return _given_back(run, give_back_attempt=never_ran)
        except Exception:  # the outermost guard: one call's bug must not end the others
            log.exception("call failed in the worker", call_id=run.call.id)
            return _given_back(run, give_back_attempt=False)

    def _is_last_attempt(self, run: Run) -> bool:
        return run.call.attempt >= self._settings.max_attempts

    async def _is_own_trouble(self, error: UnavailableError) -> bool:
        """Whether trouble may lie with this call: an engine that is well otherwise fails on it."""
        if isinstance(error, StoreUnavailableError):
            return False
        try:
            await self._driver.check()
        except EngineUnavailableError:
            return False
        return True

    async def _prepare(self, run: Run) -> _Prepared:
        call = run.call
        wire_format = FORMATS.get(call.format)
        if wire_format is None:
            raise RefusedError(Detail.UNSUPPORTED_FORMAT, f"Format {call.format} is not supported")
        if call.attempt > 1:
            await self._remove_earlier(run)
        payload = call.payload if call.payload is not None else await self._store.get_payload(call.id)
        image = await self._images.ensure(call.image)
        spec = ContainerSpec(
            name=run.container,
            image=image,
            env=wire_format.environment(call, payload),
            labels=self._labels(run),
            memory_mb=call.memory,
            writable_root=call.writable_root,
        )
        return _Prepared(format=wire_format, payload=payload, spec=spec)

    def _labels(self, run: Run) -> dict[str, str]:
        return {
            LABEL_INCARNATION: str(self._identity.incarnation),
            LABEL_INSTALLATION: str(self._identity.installation),
            LABEL_CALL: str(run.call.id),
            LABEL_TOKEN: str(run.token),
            LABEL_APP: run.call.app_name,
            LABEL_PATH: run.call.path,
        }

    async def _remove_earlier(self, run: Run) -> None:
        """No two attempts of a call at once on this engine. Newer ones than ours are none of our business."""
        labels = {LABEL_INSTALLATION: str(self._identity.installation), LABEL_CALL: str(run.call.id)}
        for container in await self._driver.list(labels):
            if int(container.labels[LABEL_TOKEN]) < run.token:
                await self._driver.remove(container.id)

    async def _launch(self, run: Run, spec: ContainerSpec, stack: AsyncExitStack) -> AttachStream:
        run.has_container = True  # from here on it may exist, whatever the engine answers
        await self._driver.create(spec)
        stream = await stack.enter_async_context(self._driver.attach(run.container))
        run.may_have_run = True
        await self._driver.start(run.container)
        return stream

    async def _watch(self, run: Run, prepared: _Prepared, stream: AttachStream) -> Ended:
        capture = Capture(
            result=CappedBuffer(self._settings.result_max_bytes), log=CallLog(self._settings.log_max_bytes)
        )
        watch = Watch(run, self._driver, capture)
        exchange = prepared.format.exchange(
            stream, prepared.payload, capture, on_overflow=lambda: run.stop(Verdict.TOO_LARGE)
        )
        async with beside(self._show_started(run, watch.started_at)):
            ended = await watch.until_ended(exchange)
        if ended.verdict in _WITHOUT_OUTCOME:
            raise StoppedError
        return ended

    async def _show_started(self, run: Run, started_at: datetime) -> None:
        await asyncio.sleep(SHOW_STARTED_AFTER_S)
        await self._recorder.mark_started(run, started_at)

    async def _conclude(self, run: Run, ending: Outcome | GiveBack | None) -> None:
        if isinstance(ending, Outcome):
            await asyncio.gather(self._record(run, ending), self._remove(run))
            return
        await self._remove(run)  # first: another attempt may begin as soon as the call is given back
        if ending is not None:
            await self._give_back(run, ending)

    async def _record(self, run: Run, outcome: Outcome) -> None:
        try:
            await self._recorder.record(run, outcome)
        except Exception:
            log.exception("outcome can't be recorded", call_id=run.call.id)
            await self._give_back(run, _given_back(run, give_back_attempt=False))

    async def _give_back(self, run: Run, ending: GiveBack) -> None:
        log.info("call given back", call_id=run.call.id, attempt=run.call.attempt, delay_ms=ending.delay_ms)
        await self._recorder.give_back(
            run, delay_ms=ending.delay_ms, give_back_attempt=ending.give_back_attempt
        )

    async def _remove(self, run: Run) -> None:
        """Remove the container for certain, or leave it to the sweep, which looks for such ones."""
        backoff = Backoff(0.2, 2)
        for _ in range(REMOVE_TRIES if run.has_container else 0):
            try:
                await self._driver.remove(run.container)
            except EngineUnavailableError:
                await backoff.sleep()
            else:
                return
        if run.has_container:
            log.warning("container not removed, left to the sweep", container=run.container)


def _stopped(run: Run) -> Outcome | GiveBack | None:
    """What a verdict means for a call whose outcome it does not settle by itself."""
    if run.verdict is Verdict.CANCELLED:
        return cancelled_before_start()
    if run.verdict is Verdict.DRAINED:
        return GiveBack(delay_ms=0, give_back_attempt=True)
    if run.verdict is Verdict.LOST:
        log.warning("run ended: another may own the call", call_id=run.call.id)
        return None
    return _given_back(run, give_back_attempt=False)


def _given_back(run: Run, *, give_back_attempt: bool) -> GiveBack:
    """For platform trouble: a wait that doubles with each attempt, or a short one if the attempt is given back too."""
    if give_back_attempt:
        return GiveBack(delay_ms=RETRY_FIRST_MS, give_back_attempt=True)
    doubled = RETRY_FIRST_MS * 2 ** min(run.call.attempt, 10)
    return GiveBack(delay_ms=min(doubled, RETRY_MAX_MS), give_back_attempt=False)
