"""Reconciler: gives the queue back what it lost. Postgres is the truth, Redis an index of it.

Rounds are turns: one api process at a time does one, and leaves to the next, whoever does it, how far it looked. In
peace a round looks at what came since the last one (pushes that failed), at running calls that no live worker has, and
at calls adrift: a worker had them when the queue was restored, so that nobody but their worker could give them back to
a queue that does not know them. Everything is looked at, a sweep, when the queue's data is of another generation or on
another run of Redis than before, when the counts say that calls are missing, and now and then as a net; each of these
looks as seldom as its cost demands.
Before it pushes it gives back what decides how calls are handed out: the pause, and in a sweep tokens that the store
will accept. And it ends calls whose cancel was asked for and whose worker is gone: nobody else would, as long as nobody
claims them.
"""

import asyncio
import time
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from api.metrics import Metrics
from api.pause import follow_pause
from api.queue_life import QueueLife
from api.restoring import Progress, Restoring
from common.errors import RebuildUnderWayError
from common.models import CallStatus, Reason
from common.queue.base import Depth, MessageQueue
from common.settings import Settings
from common.store.base import Datastore
from common.store.upkeep import Turn
from common.telemetry.logs import get_logger

BUSY_S = 0.25  # until the next look while another process restores what is lost
BUSY_MAX_S = 600.0  # how long a rebuild waits for its turn
COUNT_EVERY_S = 60.0
SWEEP_EVERY_S = 600.0
SHARE = (
    200  # what costs t seconds is not done again for SHARE * t seconds: it takes half a percent of the time
)
CANCELLED_MAX = 500  # ended in one round
LOSSES = frozenset({"loss", "restart", "rebuild"})  # what is not in the queue was lost, or somebody says so
ADRIFT_MAX = 10_000  # what is more is found by the next sweep

_log = get_logger("reconciler")


class Life(NamedTuple):
    """What a round found Redis to be."""

    generation: int
    run_id: str


class Memory(Struct, frozen=True, kw_only=True):
    """What one turn leaves to the next. Instants on Postgres's clock."""

    generation: int = 0
    run_id: str = ""
    looked_to: int = 0  # the order_no up to which every unfinished call was seen in the queue
    adrift: list[UUID] = []
    count_due_s: float = 0
    sweep_due_s: float = 0

    @property
    def life(self) -> Life:
        return Life(self.generation, self.run_id)


class Reconciler:
    """One round at a time. Any number of api processes may run one."""

    def __init__(
        self, store: Datastore, queue: MessageQueue, metrics: Metrics, settings: Settings, life: QueueLife
    ) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._queue_name = settings.queue_name
        self._interval_s = settings.reconcile_interval_s
        self._life = life
        self._turn_name = f"reconcile {settings.queue_name}"

    @property
    def wanted(self) -> asyncio.Event:
        """Set when the next round should begin at once."""
        return self._life.doubted

    async def run_round(self) -> float:
        """Do the turn if it is due or the queue may have lost something; return the seconds until the next look.

        Raises StoreUnavailableError, QueueUnavailableError, QueueLostError, and QueueFullError when not all of it fits.
        """
        self._life.doubted.clear()
        life = await self._look_at_life()
        state = await self._store.look_at_turn(self._turn_name)
        memory = _memory(state.memory)
        self._life.confirm(memory.generation)
        is_whole = memory.life == life
        if is_whole and state.due_in_s > 0:
            return min(state.due_in_s, self._interval_s)
        async with self._store.take_turn(self._turn_name) as turn:
            if turn is None:
                return self._interval_s if is_whole else BUSY_S
            memory, life = _memory(turn.state.memory), await self._look_at_life()
            if turn.state.due_in_s <= 0 or memory.life != life:  # else somebody was just here
                await turn.end(_left(await self._do_turn(turn, memory, life)), self._interval_s)
        self._life.confirm(life.generation)
        return self._interval_s

    async def rebuild(self, progress: Progress) -> None:
        """Look at everything now, in a turn; *progress* counts meanwhile. Safe to cancel and to repeat.

        Raises as run_round, and RebuildUnderWayError when other processes kept the turn for BUSY_MAX_S.
        """
        give_up_at_s = time.monotonic() + BUSY_MAX_S
        while not await self._try_rebuild(progress):
            if time.monotonic() > give_up_at_s:
                raise RebuildUnderWayError
            await asyncio.sleep(BUSY_S)

    async def _try_rebuild(self, progress: Progress) -> bool:
        async with self._store.take_turn(self._turn_name) as turn:
            if turn is None:
                return False
            memory, life = _memory(turn.state.memory), await self._look_at_life()
            memory = await self._sweep(turn, memory, life, "rebuild", progress)
            await turn.end(_left(memory), self._interval_s)
        self._life.confirm(life.generation)
        return True

    async def _look_at_life(self) -> Life:
        return Life(run_id=await self._queue.run_id(), generation=await self._queue.generation())

    async def _do_turn(self, turn: Turn, memory: Memory, life: Life) -> Memory:
        if cause := _cause_to_sweep(memory, life, turn.state.now_s):
            return await self._sweep(turn, memory, life, cause, Progress())
        await self._prepare()
        progress = Progress()
        memory = await self._look(turn, memory, progress)
        if turn.state.now_s >= memory.count_due_s:
            begun_s = time.monotonic()
            if await self._is_short_of_calls(progress.looked):
                return await self._sweep(turn, memory, life, "counts", Progress())
            memory = replace(memory, count_due_s=_due_s(turn, COUNT_EVERY_S, time.monotonic() - begun_s))
        return memory

    async def _look(self, turn: Turn, memory: Memory, progress: Progress) -> Memory:
        """Push what is missing of what may well be missing."""
        settled = await self._store.settled_order_no()
        restoring = Restoring(self._store, self._queue, self._metrics, memory.generation, turn, progress)
        await restoring.push_newer(memory.looked_to, "new")
        # First who still runs: who stops running after this is adrift for one more round.
        adrift = await self._store.still_running(memory.adrift) if memory.adrift else []
        await restoring.push_unleased(memory.adrift, "unleased")
        await restoring.end_doubts()
        _report(restoring)
        return replace(memory, looked_to=memory.looked_to if settled is None else settled, adrift=adrift)

    async def _sweep(self, turn: Turn, memory: Memory, life: Life, cause: str, progress: Progress) -> Memory:
        """Push whatever is missing."""
        _log.info("looking at every unfinished call", cause=cause)
        self._metrics.sweeps.labels(cause).inc()
        begun_s = time.monotonic()
        await self._prepare()
        # A Redis whose clock is behind would give tokens that are smaller than those the rows had: claims of such are
        # refused.
        await self._queue.seed_token(await self._store.largest_token())
        adrift = await self._store.running(ADRIFT_MAX)
        is_lost = cause in LOSSES
        restoring = Restoring(
            self._store, self._queue, self._metrics, life.generation, turn, progress, is_lost=is_lost
        )
        if cause == "restart":  # what it lost is new, and what comes next is newer still
            await restoring.push_newer(memory.looked_to, cause)
        looked_to = await restoring.push_all(cause)
        await restoring.end_doubts()
        # Again: a claim may have been under way when the queue was lost.
        adrift = list({*adrift, *await self._store.running(ADRIFT_MAX)})
        took_s = time.monotonic() - begun_s
        _report(restoring)
        _log.info(
            "looked at every unfinished call", cause=cause, looked=progress.looked, took_s=round(took_s, 1)
        )
        due_s = _due_s(turn, SWEEP_EVERY_S, took_s)
        return Memory(
            generation=life.generation,
            run_id=life.run_id,
            looked_to=memory.looked_to if looked_to is None else looked_to,
            adrift=adrift,
            count_due_s=due_s if cause == "counts" else memory.count_due_s,
            sweep_due_s=due_s,
        )

    async def _prepare(self) -> None:
        """What has to be so before a call is pushed."""
        await follow_pause(self._store, self._queue, self._queue_name)
        ended = await self._store.settle_cancelled(CANCELLED_MAX)
        if ended:
            self._metrics.finished.labels(CallStatus.CANCELLED, Reason.CLIENT_REQUEST, "").inc(len(ended))
            _log.info(
                "calls were cancelled whose worker is gone", call_ids=[str(call_id) for call_id in ended]
            )
            await self._queue.announce(ended)
            await self._queue.cancel(ended)

    async def _is_short_of_calls(self, in_motion: int) -> bool:
        """Whether the queue has fewer calls that wait than the store, by more than can be on their way.

        On their way are calls that were just committed (*in_motion*: how many are new) and those that are reserved and
        not yet claimed. So a few that are missing in the middle of much traffic are not noticed here.
        """
        before = await self._queue.depth()
        waiting = await self._store.count_waiting()
        after = await self._queue.depth()
        missing = waiting - max(_standing(before), _standing(after))
        return missing > in_motion + max(before.leased, after.leased)


def _report(restoring: Restoring) -> None:
    for cause, restored in restoring.restored.items():
        _log.warning("calls were missing in the queue and are back", count=restored, cause=cause)


def _cause_to_sweep(memory: Memory, life: Life, now_s: float) -> str | None:
    if not memory.generation:
        return "start"
    if memory.generation != life.generation:
        return "loss"
    if memory.run_id != life.run_id:
        return "restart"
    return "net" if now_s >= memory.sweep_due_s else None


def _standing(depth: Depth) -> int:
    """Calls that the store shows as waiting, or as running with nobody to run them."""
    return sum(depth.ready) + depth.delayed + depth.dead


def _due_s(turn: Turn, every_s: float, took_s: float) -> float:
    return turn.state.now_s + max(every_s, SHARE * took_s)


def _memory(memory: dict[str, object]) -> Memory:
    try:
        return msgspec.convert(memory, Memory)
    except msgspec.ValidationError:  # another version's
        return Memory()


def _left(memory: Memory) -> dict[str, object]:
    left: dict[str, object] = msgspec.to_builtins(memory)
    return left
