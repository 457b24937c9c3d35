"""Retention: deletes what is old, by turns, a batch at a time, so that nobody waits for it and the log stays small.

How long what is kept is the store's part. It rests after each batch as long as the batch took, and a minute when
nothing is left. After a batch that took long the next one is smaller: large results are much more work than small ones.
"""

import time
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from api.metrics import Metrics
from common.errors import UnavailableError
from common.settings import Settings
from common.store.base import Datastore
from common.store.upkeep import Pruned
from common.telemetry.logs import get_logger

TURN_NAME = "retention"
PAUSE_S = 60.0
REST_MIN_S = 0.05
BATCH_FIRST = 100
BATCH_MIN = 10
BATCH_MAX = 1000
BATCH_LONG_S = 1.0
BATCH_SHORT_S = 0.25

NOTHING = Pruned(count=0, ended_to=None)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)

_log = get_logger("retention")


class Memory(Struct, frozen=True, kw_only=True):
    """What one turn leaves to the next: up to which ends of calls there are no results and no logs any more."""

    results_to: datetime = _EVER
    logs_to: datetime = _EVER


class Retention:
    """One round at a time. Any number of api processes may run one."""

    def __init__(self, store: Datastore, metrics: Metrics, settings: Settings) -> None:
        self._store = store
        self._metrics = metrics
        self._has_short_results = settings.results_keep_days < settings.calls_keep_days
        self._has_short_logs = settings.logs_keep_days < settings.calls_keep_days
        self._batch = BATCH_FIRST

    async def run_round(self) -> float:
        """Delete a batch of each kind if the turn is due; return the seconds until the next look.

        Raises StoreUnavailableError.
        """
        state = await self._store.look_at_turn(TURN_NAME)
        if state.due_in_s > 0:
            return min(state.due_in_s, PAUSE_S)
        async with self._store.take_turn(TURN_NAME) as turn:
            if turn is None or turn.state.due_in_s > 0:
                return PAUSE_S
            begun_s = time.monotonic()
            try:
                memory, has_more = await self._prune(_memory(turn.state.memory))
            except UnavailableError:
                self._batch = max(BATCH_MIN, self._batch // 2)  # maybe it took too long
                raise
            took_s = time.monotonic() - begun_s
            pause_s = max(REST_MIN_S, took_s) if has_more else PAUSE_S
            await turn.end(msgspec.to_builtins(memory), pause_s)
        self._learn(took_s, has_more=has_more)
        return pause_s

    async def _prune(self, memory: Memory) -> tuple[Memory, bool]:
        """The memory after a batch of each kind, and whether more is left."""
        keys = await self._store.prune_idempotency_keys(self._batch)
        calls = await self._store.prune_calls(self._batch)
        has_more = self._batch in {keys, calls}
        results = logs = NOTHING
        if self._has_short_results:
            results = await self._store.prune_results(memory.results_to, self._batch)
        if self._has_short_logs:
            logs = await self._store.prune_logs(memory.logs_to, self._batch)
        counts = {"call": calls, "result": results.count, "log": logs.count, "idempotency_key": keys}
        for kind, count in counts.items():
            self._metrics.pruned.labels(kind).inc(count)
        if any(counts.values()):
            _log.info("deleted what is old", **counts)
        memory = Memory(
            results_to=results.ended_to or memory.results_to, logs_to=logs.ended_to or memory.logs_to
        )
        return memory, has_more or results.ended_to is not None or logs.ended_to is not None

    def _learn(self, took_s: float, *, has_more: bool) -> None:
        if took_s > BATCH_LONG_S:
            self._batch = max(BATCH_MIN, self._batch // 2)
        elif took_s < BATCH_SHORT_S and has_more:
            self._batch = min(BATCH_MAX, self._batch * 2)


def _memory(memory: dict[str, object]) -> Memory:
    try:
        return msgspec.convert(memory, Memory)
    except msgspec.ValidationError:  # another version's
        return Memory()
