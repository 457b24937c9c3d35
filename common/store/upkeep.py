"""The Upkeep contract: a part of Datastore. What maintenance asks of the store: turns, what belongs in the queue, and
the end of what is old. Nothing here costs more the more calls wait, but for what says so.
"""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from common.models import QueueEntry


class TurnState(Struct, frozen=True, kw_only=True):
    """What the last turn left. ``due_in_s``: until the next, 0 or less if it is due; ``now_s``: Postgres's clock."""

    now_s: float
    due_in_s: float
    memory: dict[str, Any]


class Turn(Protocol):
    """The right to do something that is done by one process at a time."""

    state: TurnState

    async def check(self) -> None:
        """Return if the turn still lasts. To be called now and then: it is lost after a minute of silence.

        Raises StoreUnavailableError when it is lost: somebody else may have the next one already.
        """
        ...

    async def end(self, memory: dict[str, Any], next_in_s: float) -> None:
        """Leave *memory* to the next turn, due in *next_in_s*. It counts once take_turn's block has ended."""
        ...


class Pruned(Struct, frozen=True, kw_only=True):
    """``count`` are gone; ``ended_to``: the next batch begins behind calls that ended then, None if none was left."""

    count: int
    ended_to: datetime | None


class Upkeep(Protocol):
    """Turns, the backlog, retention."""

    async def look_at_turn(self, name: str) -> TurnState:
        """What the last turn of this name left; an empty memory, and due, if there was none."""
        ...

    def take_turn(self, name: str) -> AbstractAsyncContextManager[Turn | None]:
        """The turn, as long as the block lasts, due or not; None while another process has it.

        A turn that did not `end` leaves everything as it was. The block raises StoreUnavailableError, if nothing else,
        when the turn was lost before it could be recorded.
        """
        ...

    async def largest_token(self) -> int:
        """The largest token of an unfinished call, 0 if none has one: every new reservation must have a larger one.

        Reads every unfinished call.
        """
        ...

    async def unfinished(self, priority: int, after: int, limit: int) -> list[QueueEntry]:
        """A page of the calls of one priority that belong in the queue, by place (``order_no``), those behind *after*.

        Waiting ones, and running ones whose incarnation has no fresh heartbeat. ``delay_ms``: what is left of a delay.
        """
        ...

    async def belonging(self, ids: Collection[UUID]) -> list[QueueEntry]:
        """Those of the calls that belong in the queue, as in `unfinished`, by (priority descending, place)."""
        ...

    async def unleased(
        self, adrift: Collection[UUID], after: QueueEntry | None, limit: int
    ) -> list[QueueEntry]:
        """A page of calls that were claimed once and belong in the queue again, by (priority descending, place).

        Running ones whose incarnation has no fresh heartbeat, and those of *adrift* that wait.
        """
        ...

    async def running(self, limit: int) -> list[UUID]:
        """Calls that are claimed, whoever has them; at most *limit*."""
        ...

    async def still_running(self, ids: Collection[UUID]) -> list[UUID]:
        """Those of the calls that are claimed."""
        ...

    async def count_waiting(self) -> int:
        """How many calls are delayed or queued. Reads all of one index."""
        ...

    async def settled_order_no(self) -> int | None:
        """An order_no up to which every call is committed, or never will be; None if none was found within 2 s.

        Identities are drawn before their transactions commit, so a call may become visible behind others with larger
        numbers. The number is the last one drawn at the beginning, and this returns when all have ended that were
        writing calls then.
        """
        ...

    async def prune_calls(self, limit: int) -> int:
        """Delete calls that ended more than ``calls_keep_days`` ago, with all that belongs to them; return how many.

        At most *limit*, the oldest first; fewer than are there only if others have locked some.
        """
        ...

    async def prune_results(self, after: datetime, limit: int) -> Pruned:
        """Delete results of calls that ended behind *after* and more than ``results_keep_days`` ago, the oldest first.

        *limit* calls are looked at, somewhat more if some ended at the same instant.
        """
        ...

    async def prune_logs(self, after: datetime, limit: int) -> Pruned:
        """prune_results for logs and ``logs_keep_days``."""
        ...

    async def retire_revisions(self, limit: int) -> int:
        """Mark revisions that no new call should need: their route is gone, or has a later one; return how many."""
        ...

    async def prune_revisions(self, limit: int) -> int:
        """Delete revisions that were retired a while ago and that no call refers to; return how many.

        Reads every call if any was retired. A call that is being stored keeps its revision, or finds it gone and
        brings it back: submit_calls says how.
        """
        ...
