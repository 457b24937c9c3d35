"""Intake: from the queue's reservations to claimed runs.

The queue is an index and may be wrong, the store decides: a call that is final, or another's, is acked here and never
run. While the store is away what was reserved goes back to its place at once, for a worker that can reach it. Whether
the claim happened all the same is unknown then: it is taken back, with its attempt, before anything else is reserved.
"""

from collections.abc import Sequence
from uuid import UUID

from common.errors import StoreUnavailableError, UnavailableError
from common.models import CallStatus
from common.queue.base import Capacity, Lane, MessageQueue, Reservation
from common.store.base import Claimed, ClaimRequest, Datastore
from common.telemetry.logs import get_logger
from worker.outcomes import settled_by_claim
from worker.recorder import Recorder
from worker.runs import Run

log = get_logger("intake")


class Intake:
    """Takes calls for one incarnation."""

    def __init__(
        self, queue: MessageQueue, store: Datastore, recorder: Recorder, incarnation: UUID, max_attempts: int
    ) -> None:
        self._queue = queue
        self._store = store
        self._recorder = recorder
        self._incarnation = incarnation
        self._max_attempts = max_attempts
        self._unknown: list[ClaimRequest] = []  # one batch at most: nothing is reserved while there is one

    async def take(self, capacity: Capacity) -> tuple[list[Run], int | None]:
        """Reserve and claim what fits; the runs in the order to start them, and the queue's ``next_ms``.

        Raises UnavailableError, of the queue or the store, with nothing claimed, as far as this worker knows. If
        cancelled, what was reserved stays so until its lease expires.
        """
        await self._take_back()
        reserved = await self._queue.reserve(capacity, self._incarnation)
        reservations = reserved.reservations
        if not reservations:
            return [], reserved.next_ms
        requests = [ClaimRequest(id=found.id, token=found.token) for found in reservations]
        try:
            claims = await self._store.claim(requests, self._incarnation, self._max_attempts)
        except StoreUnavailableError:
            self._unknown = requests
            await self._release(reservations)
            raise
        claimed = {claim.token: claim for claim in claims}
        await self._settle_final(reservations, claimed)
        return [
            Run(reservation, claimed[reservation.token].call)
            for reservation in reservations
            if _is_running(claimed.get(reservation.token))
        ], reserved.next_ms

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be something to take, or after *timeout_s*. Safe to cancel."""
        await self._queue.wait([Lane.ASYNC], timeout_s)

    async def _take_back(self) -> None:
        """Undo claims whose answer never came; the store knows by their tokens which of them happened."""
        if self._unknown:
            await self._store.release(self._unknown, give_back_attempt=True)
            self._unknown = []

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
            log.warning("reservations not released, their leases will expire", calls=len(reservations))


def _is_running(claim: Claimed | None) -> bool:
    return claim is not None and claim.call.status is CallStatus.RUNNING
