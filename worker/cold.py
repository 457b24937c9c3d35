"""ColdRunner: a call in a container of its own, from its image to the container's removal.

prepare     remove containers of earlier attempts, fetch the payload, make sure of the image
launch      make room, create, attach, start
watch       exchange, wait, sample; kill on the first verdict or at the time limit
judge       what the engine knows of the end -> Outcome
"""

from contextlib import AsyncExitStack
from uuid import UUID

from msgspec import Struct

from common.errors import EngineUnavailableError
from common.models import Detail, Outcome
from common.settings import Settings
from common.store.base import Datastore
from common.telemetry.logs import get_logger
from worker.backoff import Backoff
from worker.beside import beside
from worker.containers.attach import AttachStream
from worker.containers.driver import (
    LABEL_CALL,
    LABEL_INSTALLATION,
    ContainerDriver,
    ContainerSpec,
    FailedForNowError,
    RefusedError,
)
from worker.containers.images import Images
from worker.containers.pool import ContainerPool
from worker.formats import COLD
from worker.formats.base import Capture, ColdFormat
from worker.labels import Identity, call_labels, token_of
from worker.logcapture import CallLog, CappedBuffer
from worker.outcomes import Ended, judge
from worker.recorder import Recorder
from worker.runs import Run, StoppedError, Verdict
from worker.watch import Watch

REMOVE_TRIES = 3

log = get_logger("cold")


class _Prepared(Struct, frozen=True, kw_only=True):
    format: ColdFormat
    payload: bytes
    spec: ContainerSpec


class ColdRunner:
    """Runs calls whose format takes a container for each."""

    def __init__(
        self,
        store: Datastore,
        recorder: Recorder,
        driver: ContainerDriver,
        images: Images,
        pool: ContainerPool,
        identity: Identity,
        settings: Settings,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._driver = driver
        self._images = images
        self._pool = pool
        self._identity = identity
        self._settings = settings

    async def run(self, run: Run) -> Outcome:
        """Run the call to its end. Raises StoppedError, RefusedError, UnavailableError. The container stays always."""
        async with AsyncExitStack() as stack:
            async with run.start_budget(self._settings.start_timeout_s):
                prepared = await run.unless_stopped(self._prepare(run))
                stream = await run.unless_stopped(self._launch(run, prepared.spec, stack))
            ended = await self._watch(run, prepared, stream)
        return judge(ended, self._settings.result_max_bytes)

    async def clean_up(self, run: Run) -> None:
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

    async def _prepare(self, run: Run) -> _Prepared:
        call = run.call
        wire_format = COLD.get(call.format)
        if wire_format is None:
            raise RefusedError(Detail.UNSUPPORTED_FORMAT, f"Format {call.format} is not supported")
        if call.attempt > 1:
            await self._remove_earlier(run.call.id, run.token)
        payload = call.payload if call.payload is not None else await self._store.get_payload(call.id)
        image = await self._images.ensure(call.image)
        spec = ContainerSpec(
            name=run.container,
            image=image,
            env=wire_format.environment(call, payload),
            labels=call_labels(self._identity, run),
            memory_mb=call.memory,
            writable_root=call.writable_root,
            network=call.network,
        )
        return _Prepared(format=wire_format, payload=payload, spec=spec)

    async def _remove_earlier(self, call_id: UUID, token: int) -> None:
        """No two attempts of a call at once on this engine. Newer ones than ours are none of our business."""
        labels = {LABEL_INSTALLATION: str(self._identity.installation), LABEL_CALL: str(call_id)}
        for container in await self._driver.list(labels):
            found = token_of(container.labels)
            if found is not None and found < token:
                await self._driver.remove(container.id)

    async def _launch(self, run: Run, spec: ContainerSpec, stack: AsyncExitStack) -> AttachStream:
        await self._pool.make_room()
        run.has_container = True  # from here on it may exist, whatever the engine answers
        await self._driver.create(spec)
        stream = await stack.enter_async_context(self._driver.attach(run.container))
        run.may_have_run = True
        try:
            await self._driver.start(run.container)
        except (RefusedError, FailedForNowError):
            run.may_have_run = False  # the engine said that it did not start
            raise
        return stream

    async def _watch(self, run: Run, prepared: _Prepared, stream: AttachStream) -> Ended:
        capture = Capture(
            result=CappedBuffer(self._settings.result_max_bytes), log=CallLog(self._settings.log_max_bytes)
        )
        watch = Watch(run, self._driver, capture)
        exchange = prepared.format.exchange(
            stream, prepared.payload, capture, on_overflow=lambda: run.stop(Verdict.TOO_LARGE)
        )
        async with beside(self._recorder.show(run, watch.started_at, capture.log)):
            ended = await watch.until_ended(exchange)
        if ended.verdict is not None and not ended.verdict.is_outcome:
            raise StoppedError
        return ended
