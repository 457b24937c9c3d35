"""Maintenance: what keeps the queue right while nobody asks. Every api process does it; twice is harmless.

Seven steps, each in a task of its own: the queue's own upkeep, settling or answering calls that the queue gave up on,
ending those that no worker is large enough for, forgetting workers that died long ago, the reconciler, deleting old
calls, and deleting revisions of routes. None of them may end: while a server is away they say so once and try again,
more and more slowly.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from api.dead_letters import DeadLetters
from api.outage import Outage
from api.oversized import Oversized
from api.reconciler import Reconciler
from api.retention import Retention
from api.revisions import Revisions
from common.errors import QueueFullError, UnavailableError
from common.queue.base import MessageQueue
from common.store.base import Datastore
from common.telemetry.logs import get_logger

UPKEEP_PAUSE_MAX_S = 5.0
PRUNE_PAUSE_S = 3600.0
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 5.0
FULL_SHARE = 4  # what fills the queue in t seconds is not tried again before FULL_SHARE * t

Step = Callable[[], Awaitable[float]]

_log = get_logger("maintenance")


class Maintenance:
    """Owns the tasks, from start to aclose."""

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        reconciler: Reconciler,
        retention: Retention,
        oversized: Oversized,
        dead_letters: DeadLetters,
        revisions: Revisions,
    ) -> None:
        self._store = store
        self._queue = queue
        self._reconciler = reconciler
        self._retention = retention
        self._oversized = oversized
        self._dead_letters = dead_letters
        self._revisions = revisions
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks in the running loop."""
        steps: dict[str, Step] = {
            "queue upkeep": self._keep_up,
            "settling dead calls": self._dead_letters.run_round,
            "ending oversized calls": self._oversized.run_round,
            "forgetting dead workers": self._prune_workers,
            "reconciling": self._reconciler.run_round,
            "deleting what is old": self._retention.run_round,
            "deleting revisions of routes": self._revisions.run_round,
        }
        wanted = {"reconciling": self._reconciler.wanted}
        self._tasks = [
            asyncio.create_task(_repeat(what, step, wanted.get(what, asyncio.Event())), name=what)
            for what, step in steps.items()
        ]

    async def aclose(self) -> None:
        """End the tasks; any step may be cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_up(self) -> float:
        next_ms = await self._queue.maintain()
        return UPKEEP_PAUSE_MAX_S if next_ms is None else min(next_ms / 1000, UPKEEP_PAUSE_MAX_S)

    async def _prune_workers(self) -> float:
        await self._store.prune_workers()
        return PRUNE_PAUSE_S


async def _repeat(what: str, step: Step, wanted: asyncio.Event) -> None:
    """Do *step* again and again, after the pause that it asks for or once it is *wanted*; it clears that itself."""
    outage = Outage(what)
    retry_s = RETRY_FIRST_S
    while True:
        begun_s = time.monotonic()
        try:
            pause_s = await step()
        except UnavailableError as error:
            outage.began(error)
            pause_s = retry_s
            if isinstance(error, QueueFullError):  # it may have done a lot until it was full
                pause_s = max(pause_s, FULL_SHARE * (time.monotonic() - begun_s))
            retry_s = min(retry_s * 2, RETRY_MAX_S)
        except Exception:  # noqa: BLE001 - the task's outermost guard: one bad round must not end all rounds
            _log.exception("maintenance failed", what=what)
            pause_s = RETRY_MAX_S
        else:
            outage.ended()
            retry_s = RETRY_FIRST_S
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await wanted.wait()
