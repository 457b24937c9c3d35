"""Intake: from the queue's reservations to runs.

The queue is an index and may be wrong about async calls, the store decides: one that is final, or another's, is acked
here and never run. While the store is away what was reserved of them goes back to its place at once, for a worker that
can reach it. Whether the claim happened all the same is unknown then: it is taken back, with its attempt, before any
other async call is reserved. Sync calls need no store: they bring all that they are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from common.errors import StoreUnavailableError, UnavailableError
from common.models import Call, CallStatus, SyncTicket, decode_call
from common.queue.announcer import Announcer
from common.queue.base import Capacity, Lane, MessageQueue, Reservation
from common.store.base import Claimed, ClaimRequest, Datastore
from common.telemetry.logs import get_logger
from worker.outcomes import settled_by_claim
from worker.recorder import Recorder
from worker.runs import Run

log = get_logger("intake")


class Taken(Struct, frozen=True, kw_only=True):
    """What a look at the queue gave: runs in the order to start them; the rest as in Reserved."""

    runs: list[Run]
    next_ms: int | None
    has_left: bool


class Intake:
    """Takes calls for one incarnation."""

    def __init__(
        self,
        queue: MessageQueue,
        store: Datastore,
        recorder: Recorder,
        announcer: Announcer,
        incarnation: UUID,
        max_attempts: int,
    ) -> None:
        self._queue = queue
        self._store = store
        self._recorder = recorder
        self._announcer = announcer
        self._incarnation = incarnation
        self._max_attempts = max_attempts
        self._unknown: list[ClaimRequest] = []  # one batch at most: nothing is claimed while there is one

    async def take(self, capacity: Capacity) -> Taken:
        """Reserve what fits, and claim what has to be claimed.

        Raises UnavailableError, of the queue or the store, with nothing taken, as far as this worker knows; while the
        store is away sync calls are taken all the same. If cancelled, what was reserved stays so until its lease ends.
        """
        if self._unknown:
            capacity = await self._take_back(capacity)
        reserved = await self._queue.reserve(capacity, self._incarnation)
        runs = await self._claim(reserved.reservations) if reserved.reservations else []
        return Taken(runs=runs, next_ms=reserved.next_ms, has_left=reserved.has_left)

    async def wait(self, lanes: Sequence[Lane], timeout_s: float) -> None:
        """Return when there may be something to take in *lanes*, or after *timeout_s*. Safe to cancel."""
        await self._queue.wait(lanes, timeout_s)

    async def _take_back(self, capacity: Capacity) -> Capacity:
        """Undo claims whose answer never came; the store knows by their tokens which of them happened.

        Returns the capacity without its async slots if the store is still away. Raises if nothing is left of it then.
        """
        try:
            await self._store.release(self._unknown, give_back_attempt=True)
        except StoreUnavailableError:
            if not capacity.sync_slots:
                raise
            return replace(capacity, async_slots=0)
        self._announcer.tell(request.id for request in self._unknown)
        self._unknown = []
        return capacity

    async def _claim(self, reservations: Sequence[Reservation]) -> list[Run]:
        """The runs of all that were reserved, in their order; without what must not run."""
        runs = {found.token: run for found in reservations if (run := _sync_run(found)) is not None}
        to_claim = [found for found in reservations if found.ticket is None]
        if to_claim:
            try:
                runs |= await self._claim_async(to_claim)
            except StoreUnavailableError:
                if not runs:
                    raise
        return [runs[found.token] for found in reservations if found.token in runs]

    async def _claim_async(self, reservations: Sequence[Reservation]) -> dict[int, Run]:
        requests = [ClaimRequest(id=found.id, token=found.token) for found in reservations]
        try:
            claims = await self._store.claim(requests, self._incarnation, self._max_attempts)
        except StoreUnavailableError:
            self._unknown = requests
            await self._release(reservations)
            raise
        claimed = {claim.token: claim for claim in claims}
        self._announcer.tell(claim.call.id for claim in claims)
        await self._settle_final(reservations, claimed)
        return {
            found.token: Run(found, claimed[found.token].call)
            for found in reservations
            if _is_running(claimed.get(found.token))
        }

    async def _settle_final(self, reservations: Sequence[Reservation], claimed: dict[int, Claimed]) -> None:
        """Ack what must not run: settled by the claim, final before, or another's (the queue fences that ack)."""
        final = [found for found in reservations if not _is_running(claimed.get(found.token))]
        for reservation in final:
            claim = claimed.get(reservation.token)
            if claim is None:
                log.info("reserved call is final or another's", call_id=reservation.id)
            else:
                self._recorder.report(claim.call, settled_by_claim(claim.call))
        await self._recorder.ack(final)

    async def _release(self, reservations: Sequence[Reservation]) -> None:
        try:
            await self._queue.release(reservations)
        except UnavailableError:
            log.warning("reservations not released, their leases will expire", count=len(reservations))


def _sync_run(reservation: Reservation) -> Run | None:
    """The run of a sync call. What can't be read, because another version wrote it, is left to its lease."""
    if reservation.ticket is None:
        return None
    try:
        return Run(reservation, _running(reservation.ticket))
    except msgspec.MsgspecError:
        log.exception("sync call can't be read", call_id=reservation.id)
        return None


def _running(ticket: SyncTicket) -> Call:
    call = decode_call(ticket.message)
    return replace(call, status=CallStatus.RUNNING, attempt=1, claimed_at=datetime.now(UTC))


def _is_running(claim: Claimed | None) -> bool:
    return claim is not None and claim.call.status is CallStatus.RUNNING
