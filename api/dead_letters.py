"""DeadLetters: ends the calls that the queue gave up on. Async ones are settled in the store, sync ones are answered.

Looks often while callers wait here, so that each hears in time that no worker took its call, or that one was lost.
"""

from uuid import UUID

import msgspec
from msgspec.structs import replace

from api.ends import no_capacity, queue_paused, worker_lost
from api.recorder import Recorder
from api.sync import SyncCalls
from common.models import Outcome, SyncReply, SyncTicket, decode_call, encode_reply
from common.queue.announcer import Announcer
from common.queue.base import DeadCall, MessageQueue
from common.store.base import Datastore
from common.telemetry.logs import get_logger

PAUSE_S = 2.0
SYNC_PAUSE_S = 0.25
BATCH_CALLS = 100

_log = get_logger("dead")


class DeadLetters:
    """One round at a time. Any number of api processes may run one: each answer is given once."""

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        announcer: Announcer,
        sync: SyncCalls,
        recorder: Recorder,
    ) -> None:
        self._store = store
        self._queue = queue
        self._announcer = announcer
        self._sync = sync
        self._recorder = recorder

    async def run_round(self) -> float:
        """End what is dead; return the seconds until the next round.

        Raises QueueUnavailableError, and StoreUnavailableError after the sync calls were answered.
        """
        if self._sync.has_expired():
            while await self._queue.maintain() == 0:  # it hands over those that no worker took in time
                pass
        dead = await self._queue.dead(BATCH_CALLS)
        for call in dead:
            if call.ticket is not None:
                await self._answer(call, call.ticket, await self._end_of(call))
        await self._settle([call.id for call in dead if call.ticket is None])
        if len(dead) == BATCH_CALLS:
            return 0
        return SYNC_PAUSE_S if await self._sync.wait_busy(PAUSE_S) else 0

    async def _settle(self, ids: list[UUID]) -> None:
        if ids:
            # Settled first: a crash in between settles them again, which changes nothing.
            await self._store.settle_dead(ids)
            self._announcer.tell(ids)
            await self._queue.bury(ids)
            _log.warning("calls were given up", call_ids=[str(call_id) for call_id in ids])

    async def _end_of(self, dead: DeadCall) -> Outcome:
        if dead.deliveries:
            return worker_lost()
        return queue_paused() if (await self._queue.depth()).is_paused else no_capacity()

    async def _answer(self, dead: DeadCall, ticket: SyncTicket, outcome: Outcome) -> None:
        """Answer first, record second: the caller waits."""
        if not await self._queue.bury_replied(dead, encode_reply(SyncReply(id=dead.id, outcome=outcome))):
            return
        try:
            call = decode_call(ticket.message)
        except msgspec.MsgspecError:
            _log.exception("a sync call can't be read, and is not recorded", call_id=dead.id)
            return
        self._recorder.add(replace(call, payload=None, attempt=dead.deliveries), outcome)
