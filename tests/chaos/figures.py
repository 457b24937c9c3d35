"""What a run amounts to, in numbers. Pure."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from tests.chaos.checker import SYNC, redeliveries, restarts_s
from tests.chaos.history import Accepted, Answered, Began, History, Killed, Refused


class Figures(Struct, frozen=True, kw_only=True):
    """``redelivered``: by what explains it. ``longest_wait_s``: the longest that a client asked until it was accepted.

    ``restarts_s``: from the kill of a child to the new start of each call that it ran, shortest first.
    """

    accepted: int
    refused: dict[str, int]
    killed: dict[str, int]
    begun: int
    redelivered: dict[str, int]
    attempts_max: int
    restarts_s: list[float]
    longest_wait_s: float
    sync_answers: dict[str, int]


def figures_of(history: History) -> Figures:
    """Count."""
    accepted = history.of(Accepted)
    rows = [row for row in history.rows.values() if row.type != SYNC]
    return Figures(
        accepted=len(accepted),
        refused=_counted(one.why for one in history.of(Refused)),
        killed=_counted(one.victim for one in history.of(Killed)),
        begun=len(history.of(Began)),
        redelivered=_counted(one.cause or "nothing known" for one in redeliveries(history)),
        attempts_max=max((row.attempt for row in rows), default=0),
        restarts_s=restarts_s(history),
        longest_wait_s=max((one.took_s for one in accepted), default=0.0),
        sync_answers=_counted(str(one.status) for one in history.of(Answered)),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
