"""How much a run measures: the numbers that bound its time. Decides nothing else."""

from typing import Literal

from msgspec import Struct

RedisKind = Literal["6.2", "system", "auto"]

BATCHES = (1, 10, 100)
MAX_BATCH = max(BATCHES)


class Plan(Struct, frozen=True, kw_only=True):
    """``measure_s``: length of one measurement. ``rounds``: how often each is taken; the median counts.

    ``standing``: calls that stand in a contestant's queue while it is measured beside others.
    """

    depths: tuple[int, ...]
    clients: int = 2
    measure_s: float
    rounds: int
    standing: int = 1000
    reserve_rounds: int
    idle_s: float
    latency_samples: int
    redis: RedisKind = "6.2"


DEFAULT = Plan(
    depths=(1_000, 100_000, 1_000_000),
    measure_s=1.0,
    rounds=5,
    reserve_rounds=30,
    idle_s=15.0,
    latency_samples=1_000,
)

QUICK = Plan(
    depths=(1_000, 10_000, 100_000),
    measure_s=0.3,
    rounds=1,
    standing=200,
    reserve_rounds=10,
    idle_s=5.0,
    latency_samples=200,
)
