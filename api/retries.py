"""Retries: new calls of old ones, for a client who wants one again and for an operator who wants all that are dead.

As for a submit, there has to be room in the queue before anything is stored, and the push follows the commit.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from api.admission import Admission
from api.invocation import PUSH_PATIENCE_S
from api.metrics import Metrics
from api.pusher import Pusher
from api.quotas import RECORD_BYTES, Quotas
from common.errors import QueueFullError
from common.models import QueueEntry, new_id
from common.store.base import Datastore
from common.store.steering import Retried


class Requeued(Struct, frozen=True, kw_only=True):
    """What came back, and whether the queue had room for all that was asked for."""

    calls: list[Retried]
    had_room: bool


class Retries:
    """Owns no task. Safe to cancel: then a call may be stored all the same, and is run."""

    def __init__(
        self, store: Datastore, pusher: Pusher, admission: Admission, quotas: Quotas, metrics: Metrics
    ) -> None:
        self._store = store
        self._pusher = pusher
        self._admission = admission
        self._quotas = quotas
        self._metrics = metrics

    async def retry(self, app_name: str, call_id: UUID) -> UUID:
        """The id of the new call, which is accepted when this returns.

        Raises QueueFullError, AppCallsFullError, AppStorageFullError, StoreUnavailableError (then it may or may not be
        stored), CallNotFoundError, CallNotFinalError, CallNotRetriableError, AppsBeingRemovedError.
        """
        await self._admission.admit()
        stored = admitted = 0
        try:
            await self._quotas.admit(app_name, RECORD_BYTES)  # how large its input is, the next reading says
            admitted = 1
            entry = await self._store.retry(app_name, call_id, new_id())
            stored = 1
        finally:
            self._admission.withdraw(1 - stored)
            if admitted > stored:
                self._quotas.withdraw(app_name, RECORD_BYTES)
        await self._push([entry])
        return entry.id

    async def requeue(self, ids: Sequence[UUID]) -> Requeued:
        """Bring back those of *ids* that are dead, the first ones if there is not room for all.

        Raises QueueFullError without room for any, StoreUnavailableError (then all may be back, or none).
        """
        admitted = await self._admit_up_to(len(ids))
        calls: list[Retried] = []
        try:
            calls = await self._store.requeue_dead(ids[:admitted], [new_id() for _ in range(admitted)])
        finally:
            self._admission.withdraw(admitted - len(calls))
        await self._push([call.entry for call in calls])
        return Requeued(calls=calls, had_room=admitted == len(ids))

    async def _admit_up_to(self, count: int) -> int:
        for admitted in range(count):
            try:
                await self._admission.admit()
            except QueueFullError:
                if not admitted:
                    raise
                return admitted
        return count

    async def _push(self, entries: Sequence[QueueEntry]) -> None:
        self._metrics.accepted.inc(len(entries))
        pushed = self._pusher.add(entries) if entries else None
        if pushed is not None:
            await asyncio.wait({pushed}, timeout=PUSH_PATIENCE_S)
