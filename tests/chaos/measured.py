"""What a fault cost those who use the system, and the table of it."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from tests.chaos.checker import redeliveries
from tests.chaos.history import Accepted, Began, History, Refused
from tests.load.tables import table


class Measured(Struct, frozen=True, kw_only=True):
    """One fault. ``sees``: what users see of it, in words. Gaps: the longest time with none accepted, none begun."""

    fault: str
    sees: str
    calls: int
    refused: int
    redelivered: int
    accept_gap_s: float
    begin_gap_s: float


Note = Callable[[str, str, History], Measured]


def measure(fault: str, sees: str, history: History) -> Measured:
    """Count what *history* shows."""
    accepted = history.of(Accepted)
    return Measured(
        fault=fault,
        sees=sees,
        calls=len(accepted),
        refused=len(history.of(Refused)),
        redelivered=len(redeliveries(history)),
        accept_gap_s=_longest_gap_s([one.at for one in accepted]),
        begin_gap_s=_longest_gap_s([one.at for one in history.of(Began)]),
    )


def markdown(measured: Sequence[Measured]) -> str:
    """The table of all of them."""
    rows = [
        (
            one.fault,
            one.sees,
            f"{one.calls:,}",
            f"{one.refused:,}",
            f"{one.redelivered:,}",
            f"{one.accept_gap_s:.1f} s",
            f"{one.begin_gap_s:.1f} s",
        )
        for one in measured
    ]
    heads = (
        *("fault", "what the user sees", "calls", "requests without a 202", "delivered again"),
        *("longest time without an accepted call", "without a call that begins"),
    )
    return table(heads, rows, is_words=True)


def _longest_gap_s(instants: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(instants)), default=0.0)
