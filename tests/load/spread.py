"""Many durations in three numbers. Pure; measures nothing."""

import statistics
from collections.abc import Sequence

from msgspec import Struct


class Spread(Struct, frozen=True, kw_only=True):
    """Of many durations, in ms."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


def spread(durations_ns: Sequence[int]) -> Spread:
    """The median, the 90th and the 99th percentile."""
    ordered = sorted(durations_ns)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6

    return Spread(p50_ms=statistics.median(ordered) / 1e6, p90_ms=at(0.9), p99_ms=at(0.99))
