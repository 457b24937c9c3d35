"""CallStats: samples of what a call used while it ran, as Fn v1 names them."""

from datetime import datetime

from msgspec import Struct


class CallStat(Struct, frozen=True, kw_only=True):
    """One sample. ``metrics`` are integers: bytes, except ``cpu_*`` in percent of one core (100 = one core busy)."""

    timestamp: datetime
    metrics: dict[str, int]


CallStats = tuple[CallStat, ...]
