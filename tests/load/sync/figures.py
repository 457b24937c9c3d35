"""What one measurement says, and which of several counts. Pure functions and the report's types; measures nothing."""

from collections.abc import Sequence

from msgspec import Struct

from tests.load.spread import Spread


class Sample(Struct, frozen=True, kw_only=True):
    """What a client saw: every call was answered, and answered right."""

    calls: int
    elapsed_s: float
    latency: Spread


class Figures(Struct, frozen=True, kw_only=True):
    """One measurement. ``cpu_us``: processor time a call, by process; ``busy_us``: the whole machine's."""

    per_s: float
    latency: Spread
    cpu_us: dict[str, float]
    busy_us: float


class Line(Struct, frozen=True, kw_only=True):
    """A contestant. ``rounds``: calls a second of each round; ``figures``: of the median round."""

    name: str
    title: str
    connections: int
    figures: Figures
    rounds: list[float]


def median_of(rounds: Sequence[Figures]) -> Figures:
    """The round in the middle, by calls a second: its figures belong together."""
    return sorted(rounds, key=lambda each: each.per_s)[(len(rounds) - 1) // 2]
