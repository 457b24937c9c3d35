"""HotRunner: a call spoken with a container that stays, which the pool has or starts.

    acquire     image, payload, then a slot of the pool: hot at once, else handed over or started
    speak       one exchange, under the function's own time; any verdict or doubt ends the container with it
    reply       a sync call's caller first, while the slot goes back to the pool, and with it the memory

Never sends a second call while one is under way, and never a call again that a function may have seen.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from common.models import Detail, Outcome
from common.settings import Settings
from common.store.base import Datastore
from worker.beside import beside
from worker.containers.driver import ContainerDriver, ContainerSpec, RefusedError
from worker.containers.hot import Slot, SlotError
from worker.containers.images import Images
from worker.containers.pool import ContainerPool
from worker.containers.slots import SlotKey
from worker.formats import HOT
from worker.formats.base import BadResponseError, Response
from worker.formats.headers import UnsendableCallError
from worker.labels import Identity, route_labels
from worker.logcapture import CallLog
from worker.outcomes import Spoken, judge_spoken
from worker.recorder import Recorder
from worker.runs import Run, StoppedError, Verdict
from worker.stats import FIRST_AFTER_S, StatsSampler


class _Acquired(Struct, frozen=True, kw_only=True):
    slot: Slot
    payload: bytes


class HotRunner:
    """Runs calls whose format lets a container serve one call after the other."""

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
        """Run the call to its end; a sync caller has its reply. Raises StoppedError, RefusedError, UnavailableError.

        The slot is the pool's again in each case, also when this is cancelled.
        """
        try:
            return await self._attempt(run, may_repeat=True)
        except SlotError:  # of no use before anything of the call was written: another one
            return await self._attempt(run, may_repeat=False)

    async def clean_up(self, run: Run) -> None:
        """Nothing is left: the pool looks after its containers."""

    async def _attempt(self, run: Run, *, may_repeat: bool) -> Outcome:
        call_log, taken = CallLog(self._settings.log_max_bytes), list[Slot]()
        try:
            async with run.start_budget(self._settings.start_timeout_s):
                acquired = await run.unless_stopped(self._acquire(run, taken))
            spoken = await self._speak(run, acquired, call_log, may_repeat=may_repeat)
        except BaseException:
            for slot in taken:
                await self._pool.give_back(slot)
            raise
        outcome = judge_spoken(spoken)
        giving_back = self._pool.give_back(acquired.slot, end_grant=run.grant.give_back_memory)
        if run.is_sync:
            await asyncio.gather(self._answer(run, outcome), giving_back)
        else:
            await giving_back
        # Only now nothing more is added to the log.
        return replace(outcome, log=call_log.value(), log_marks=call_log.marks())

    async def _answer(self, run: Run, outcome: Outcome) -> None:
        await self._recorder.reply(run, outcome)
        run.grant.give_back_slot()  # what is left to do is to write it down

    async def _acquire(self, run: Run, taken: list[Slot]) -> _Acquired:
        """Once there is a slot it is in *taken*: what this returns is lost if the start's budget ends with it."""
        call = run.call
        payload = call.payload if call.payload is not None else await self._store.get_payload(call.id)
        image = await self._images.ensure(call.image)
        spec = ContainerSpec(
            name="",  # the pool's to give
            image=image,
            env=call.base_env,
            labels=route_labels(self._identity, call),
            memory_mb=call.memory,
            writable_root=call.writable_root,
            network=call.network,
        )
        key = SlotKey(revision=call.route_revision, image=image.id)
        slot = await self._pool.acquire(key, spec, call.idle_timeout)
        taken.append(slot)
        run.container = slot.name
        return _Acquired(slot=slot, payload=payload)

    async def _speak(self, run: Run, acquired: _Acquired, call_log: CallLog, *, may_repeat: bool) -> Spoken:
        """One exchange, up to its end. Raises SlotError if nothing was written and that is of use."""
        if run.verdict is not None:
            raise StoppedError  # it came as the slot did: nothing of the call needs to reach the function
        call, wire_format, slot = run.call, HOT[run.call.format], acquired.slot
        is_cold = slot.is_fresh
        started_at = datetime.now(UTC)
        deadline = started_at + timedelta(seconds=call.timeout)
        try:
            request = wire_format.request(call, acquired.payload, deadline)
        except UnsendableCallError as error:
            raise RefusedError(
                Detail.UNSUPPORTED_FORMAT, f"Format {call.format} can't carry it: {error}"
            ) from error
        run.may_have_run = True
        reader = wire_format.reader(call, self._settings.result_max_bytes)
        exchanging = asyncio.create_task(slot.exchange(request, reader, call_log))
        sampler = StatsSampler(self._driver, slot.name)
        try:
            if not await _ends(exchanging, run, min(FIRST_AFTER_S, call.timeout)):
                async with beside(sampler.run(), self._recorder.show(run, started_at, call_log)):
                    await _ends(exchanging, run, call.timeout - FIRST_AFTER_S)
            if not exchanging.done():
                run.stop(Verdict.TIMED_OUT)
        finally:
            exchanging.cancel()
            await asyncio.wait({exchanging})
        return Spoken(
            verdict=run.verdict,
            answer=_answer(run, exchanging, may_repeat=may_repeat),
            stats=sampler.value(),
            started_at=started_at,
            completed_at=datetime.now(UTC),
            cold=is_cold,
            memory_mb=call.memory,
        )


async def _ends(exchanging: asyncio.Task[Response], run: Run, within_s: float) -> bool:
    """Whether the exchange ends, or a verdict comes, in that time."""
    either: set[asyncio.Future[object]] = {exchanging, run.stopping}  # type: ignore[arg-type]
    done, _ = await asyncio.wait(either, timeout=max(0, within_s), return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def _answer(
    run: Run, exchanging: asyncio.Task[Response], *, may_repeat: bool
) -> Response | BadResponseError | SlotError | None:
    """What the function said, or how it failed; None if a verdict ended it."""
    if run.verdict is not None:
        if not run.verdict.is_outcome:
            raise StoppedError
        return None
    try:
        return exchanging.result()
    except BadResponseError as error:
        return error
    except SlotError as error:
        if error.nothing_written and may_repeat:
            run.may_have_run = False
            raise
        return error
