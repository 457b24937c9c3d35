"""Recorder: all that the worker writes about its runs: that they run, how they ended, that they were given back.

Outcomes are committed in groups: whoever comes while a commit is under way joins the next one. Records first, acks
second: a call is acked once its outcome is in the store. While the store is away outcomes wait here (their number is
bounded by the worker's slots, which stay taken) and are tried again; a copy on disk outlives this process. Each new
try takes half as many, as the group may have been too large for the time limit of its statement. A sync call goes the
other way: its reply is its ack, and its record follows. What was committed is announced. It never decides what an
outcome is.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from common.errors import UnavailableError
from common.models import Call, Outcome, SyncReply, encode_reply, request_id_of
from common.queue.announcer import Announcer
from common.queue.base import Acked, MessageQueue, Reservation
from common.store.base import ClaimRequest, Datastore, LogChunk, Settlement
from common.store.finished import FinishedRecorder
from common.telemetry.logs import get_logger
from common.telemetry.metrics import phase_times_s
from worker import unstorable
from worker.backoff import Backoff
from worker.livelogs import LiveLogs
from worker.logcapture import CallLog
from worker.metrics import Metrics
from worker.outcomes import unheard, with_end_of_log
from worker.runs import Run
from worker.spool import Spool

SHOW_AFTER_S = 1.0
BATCH_MAX = 100
BATCH_MAX_BYTES = 32 * 1024 * 1024

log = get_logger("recorder")


class _Entry(Struct):
    run: Run
    outcome: Outcome
    recorded: asyncio.Future[bool]
    is_spooled: bool = False
    tries: int = 0  # in vain, and alone

    @property
    def settlement(self) -> Settlement:
        return Settlement(id=self.run.call.id, token=self.run.token, outcome=self.outcome)

    @property
    def size_bytes(self) -> int:
        return len(self.outcome.result) + len(self.outcome.log)


class Recorder:
    """Writes outcomes to the store, then acks. ``run`` must be running for anything to be recorded."""

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        finished: FinishedRecorder,
        spool: Spool,
        announcer: Announcer,
        live_logs: LiveLogs,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._queue = queue
        self._finished = finished
        self._spool = spool
        self._announcer = announcer
        self._live_logs = live_logs
        self._metrics = metrics
        self._waiting: deque[_Entry] = deque()  # a group stays at its head until it is committed
        self._batch_max = BATCH_MAX
        self._arrived = asyncio.Event()

    async def record(self, run: Run, outcome: Outcome) -> None:
        """Return once the outcome is committed and acked, or found to be another's to write (then nothing is written).

        Waits for as long as the store is away. Raises what the store raises for an outcome that it can't write.
        Cancelling the wait does not take the outcome back. A sync call's record is not waited for.
        """
        if run.is_sync:
            await self.reply(run, outcome)
            if run.is_unheard:
                outcome = unheard(outcome)
            outcome = with_end_of_log(outcome)
            self._finished.add(run.call, outcome)
            self.report(run.call, outcome)
            return
        outcome = with_end_of_log(outcome)
        recorded: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(run, outcome, recorded))
        self._metrics.outcomes_waiting.set(len(self._waiting))
        self._arrived.set()
        if await recorded:
            self.report(run.call, outcome)
        else:
            log.warning("outcome dropped: another run owns the call", call_id=run.call.id)

    async def reply(self, run: Run, outcome: Outcome) -> None:
        """Answer a sync call, once; that is its ack. If that fails, its caller hears of a lost worker later."""
        if run.is_replied:
            return
        run.is_replied = True
        reply = SyncReply(
            id=run.call.id,
            outcome=replace(outcome, log=b"", log_marks=(), stats=()),
            claimed_at=run.call.claimed_at,
        )
        try:
            found = await self._queue.reply(run.reservation, encode_reply(reply))
        except UnavailableError:
            log.warning("sync call not answered", call_id=run.call.id)
            return
        if found is Acked.NOT_RESERVED:
            log.warning("reply dropped: the call was given up before", call_id=run.call.id)
        elif found is Acked.UNHEARD:
            log.warning("reply dropped: the api that waited for it has ended", call_id=run.call.id)
            run.is_unheard = True

    async def run(self) -> None:
        """Commit group after group until cancelled."""
        backoff = Backoff(0.1, 5)
        is_waiting = False
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            try:
                await self._commit(batch)
            except UnavailableError as error:
                if not is_waiting:
                    log.warning("outcomes wait for Postgres", count=len(self._waiting))
                is_waiting = True
                if len(batch) > 1:
                    self._batch_max = len(batch) // 2
                await self._keep(self._waiting)
                if len(batch) == 1:
                    await self._give_up_output(batch[0], error)
                await backoff.sleep()
            else:
                self._metrics.outcomes_waiting.set(len(self._waiting))
                if is_waiting:
                    log.warning("outcomes are recorded again", still_waiting=len(self._waiting))
                is_waiting = False
                backoff.reset()
                self._batch_max = min(BATCH_MAX, self._batch_max * 2)
                if not self._waiting:
                    self._arrived.clear()

    def _next_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size_bytes = 0
        for entry in islice(self._waiting, self._batch_max):
            size_bytes += entry.size_bytes
            if batch and size_bytes > BATCH_MAX_BYTES:
                break
            batch.append(entry)
        return batch

    async def _commit(self, batch: Sequence[_Entry]) -> None:
        """Commit the first that wait. Raises UnavailableError: those that it could not write wait on."""
        try:
            owned = await self._store.settle([entry.settlement for entry in batch])
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one outcome that can't be written shall fail alone
            if len(batch) == 1:
                _resolve(self._waiting.popleft(), error)
                return
            for entry in batch:
                await self._commit([entry])
            return
        for _ in batch:
            self._waiting.popleft()
        try:
            await self._spool.forget([entry.settlement for entry in batch if entry.is_spooled])
            self._announcer.tell(owned)
            await self.ack([entry.run.reservation for entry in batch])
        finally:  # they are recorded, whatever failed after that: their runs end and free their slots
            for entry in batch:
                _resolve(entry, entry.run.call.id in owned)

    async def _give_up_output(self, entry: _Entry, error: UnavailableError) -> None:
        """Let an outcome go without result and log if it is these that can't be stored."""
        entry.tries += 1
        if entry.tries < unstorable.TRIES or not await unstorable.is_too_large(
            self._store, entry.outcome, error
        ):
            return
        log.error("result and log are too large to be stored in time: left out", call_id=entry.run.call.id)
        await self._spool.put_aside(entry.settlement)
        entry.outcome = unstorable.without_output(entry.outcome)

    async def _keep(self, waiting: Sequence[_Entry]) -> None:
        """Spool those that are not yet: the others that came since have to wait for as long."""
        new = [entry for entry in waiting if not entry.is_spooled]
        for entry in new:
            entry.is_spooled = True
        if new:
            kept = await self._spool.keep([entry.settlement for entry in new])
            if kept.cause is not None:
                self._metrics.not_spooled.inc(len(new) - kept.number)

    async def ack(self, reservations: Sequence[Reservation]) -> None:
        """Forget calls that have their record. A failure is harmless: they come again and are found to be final."""
        if not reservations:
            return
        try:
            await self._queue.ack(reservations)
        except UnavailableError:
            log.warning("calls not acked", count=len(reservations))

    async def show(self, run: Run, started_at: datetime, call_log: CallLog) -> None:
        """Show of a run that lasts when it began, and its log as it grows, until cancelled; its end says both again."""
        await asyncio.sleep(SHOW_AFTER_S)
        if run.is_sync:
            return  # it has no row before its end
        await self._show_start(run, started_at)
        await self._live_logs.show(run, call_log)

    async def _show_start(self, run: Run, started_at: datetime) -> None:
        try:
            await self._store.mark_started(run.call.id, run.token, started_at)
        except UnavailableError:
            log.warning("start not shown", call_id=run.call.id)

    async def keep_log(self, run: Run, outcome: Outcome) -> None:
        """Keep the log of an attempt that failed and is not the last one, until the next one's takes its place."""
        chunk = LogChunk(id=run.call.id, token=run.token, first=0, chunk=outcome.log, marks=outcome.log_marks)
        try:
            await self._store.extend_logs([chunk])
        except UnavailableError:
            log.warning("log of an attempt not kept", call_id=run.call.id)

    async def give_back(
        self, run: Run, *, delay_ms: int, give_back_attempt: bool, failed: Outcome | None = None
    ) -> None:
        """Return a call to its place in the queue. Without the queue its lease expires.

        One that is to wait there is waited for until the store knows of that. It would go on as a run of this worker,
        who lives: nobody would end it if asked to, or push it again if the queue forgot it.
        """
        backoff = Backoff(0.1, 5)

        async def show() -> bool:
            return await self._show_released(
                run, delay_ms, give_back_attempt=give_back_attempt, failed=failed
            )

        is_shown = run.is_sync or await show()
        try:
            await self._queue.release([run.reservation], delay_ms)
        except UnavailableError:
            log.warning("call not released, its lease will expire", call_id=run.call.id)
        while delay_ms and not is_shown:
            await backoff.sleep()
            is_shown = await show()

    async def _show_released(
        self, run: Run, delay_ms: int, *, give_back_attempt: bool, failed: Outcome | None
    ) -> bool:
        request = ClaimRequest(id=run.call.id, token=run.token)
        try:
            await self._store.release(
                [request], give_back_attempt=give_back_attempt, delay_ms=delay_ms, failed=failed
            )
        except UnavailableError:
            log.warning("call not shown as given back", call_id=run.call.id)
            return False
        self._announcer.tell([run.call.id])
        return True

    def report(self, call: Call, outcome: Outcome) -> None:
        """One line in the log and one count per finished call."""
        self._metrics.observe_finished(call, outcome)
        log.info(
            "call finished",
            call_id=call.id,
            request_id=request_id_of(call.headers),
            app=call.app_name,
            path=call.path,
            status=outcome.status,
            reason=outcome.reason,
            detail=outcome.detail,
            attempt=call.attempt,
            exit_code=outcome.exit_code,
            **{f"{name}_s": round(time_s, 3) for name, time_s in phase_times_s(call, outcome).items()},
        )


def _resolve(entry: _Entry, result: bool | Exception) -> None:
    if entry.recorded.done():
        return  # nobody waits any more
    if isinstance(result, Exception):
        entry.recorded.set_exception(result)
    else:
        entry.recorded.set_result(result)
