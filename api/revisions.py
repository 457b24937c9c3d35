"""Revisions: deletes what routes were, once no call refers to it. It holds config as it was, and so old secrets.

An app's revisions go with the app. Those of routes that were changed or deleted are retired here and, a while later,
deleted if no call needs them any more. To find that out reads every call, so it is done seldom, and not at all while
none is retired.
"""

import time

from api.metrics import Metrics
from common.store.base import Datastore
from common.telemetry.logs import get_logger

TURN_NAME = "revisions"
PAUSE_S = 900.0
BATCH = 1000
WORK_SHARE = 200  # what took t seconds is not done again before WORK_SHARE * t

_log = get_logger("revisions")


class Revisions:
    """One round at a time. Any number of api processes may run one."""

    def __init__(self, store: Datastore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    async def run_round(self) -> float:
        """Retire a batch and delete one if the turn is due; return the seconds until the next look.

        Raises StoreUnavailableError.
        """
        state = await self._store.look_at_turn(TURN_NAME)
        if state.due_in_s > 0:
            return min(state.due_in_s, PAUSE_S)
        async with self._store.take_turn(TURN_NAME) as turn:
            if turn is None or turn.state.due_in_s > 0:
                return PAUSE_S
            begun_s = time.monotonic()
            retired = await self._store.retire_revisions(BATCH)
            deleted = await self._store.prune_revisions(BATCH)
            took_s = time.monotonic() - begun_s
            pause_s = WORK_SHARE * took_s
            if BATCH not in (retired, deleted):
                pause_s = max(PAUSE_S, pause_s)
            await turn.end({}, pause_s)
        self._metrics.pruned.labels("route_revision").inc(deleted)
        if deleted:
            _log.info("deleted revisions of routes", route_revisions=deleted)
        return pause_s
