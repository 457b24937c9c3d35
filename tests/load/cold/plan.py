"""How much a run measures: the numbers that bound its time. Decides nothing else."""

from typing import Literal

from msgspec import Struct

Network = Literal["none", "bridge"]


class Plan(Struct, frozen=True, kw_only=True):
    """``calls``: of each kind, at each number at a time, on each network."""

    calls: int
    at_once: tuple[int, ...] = (1, 4)
    networks: tuple[Network, ...] = ("none", "bridge")


DEFAULT = Plan(calls=40)

QUICK = Plan(calls=8)
