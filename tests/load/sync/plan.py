"""How much a run measures: the numbers that bound its time. Decides nothing else."""

from msgspec import Struct

CONNECTIONS = 4


class Plan(Struct, frozen=True, kw_only=True):
    """``measure_s``: length of one measurement. ``rounds``: how often each is taken; the median counts."""

    measure_s: int
    warm_up_s: int = 1
    rounds: int


DEFAULT = Plan(measure_s=4, rounds=7)

QUICK = Plan(measure_s=1, rounds=3)
