"""CallStats: samples what a container uses while it runs, and thins the samples of long calls.

The first sample is taken soon after the start, then one each second. Percentages of CPU are of the time
between two samples, so the first has none. A sample that fails is left out: a call never waits for one.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from common.errors import EngineUnavailableError
from common.models import CallStat, CallStats
from worker.containers.driver import ContainerDriver, Usage

FIRST_AFTER_S = 0.1  # the shortest calls are not worth a question to a busy engine
INTERVAL_S = 1.0
MAX_POINTS = 240
_THIN_AT = (
    4 * MAX_POINTS
)  # a long call's samples are averaged on the way, so that an hour of them is never held


class StatsSampler:
    """The samples of one container."""

    def __init__(self, driver: ContainerDriver, container: str) -> None:
        self._driver = driver
        self._container = container
        self._stats: list[CallStat] = []

    async def run(self) -> None:
        """Sample until cancelled."""
        before: Usage | None = None
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            usage = await self._sample()
            if usage is not None:
                self._stats.append(CallStat(timestamp=datetime.now(UTC), metrics=metrics(usage, before)))
                before = usage
            if len(self._stats) >= _THIN_AT:
                self._stats = thin(self._stats, 2 * MAX_POINTS)
            await asyncio.sleep(INTERVAL_S)

    async def _sample(self) -> Usage | None:
        try:
            return await self._driver.usage(self._container)
        except EngineUnavailableError:
            return None

    def value(self) -> CallStats:
        """What was sampled, at most MAX_POINTS points."""
        return tuple(thin(self._stats, MAX_POINTS))


def metrics(usage: Usage, before: Usage | None) -> dict[str, int]:
    """One point, with Fn v1's names: bytes as they are, CPU in percent of one core since *before*."""
    point = {
        "net_rx": usage.net_rx,
        "net_tx": usage.net_tx,
        "mem_limit": usage.mem_limit,
        "mem_usage": usage.mem_usage,
        "disk_read": usage.disk_read,
        "disk_write": usage.disk_write,
    }
    passed_ns = usage.system_cpu_ns - before.system_cpu_ns if before else 0
    if before is None or passed_ns <= 0:
        return point

    def percent(used_ns: int) -> int:
        return max(0, used_ns * usage.cpus * 100 // passed_ns)

    return point | {
        "cpu_user": percent(usage.cpu_user_ns - before.cpu_user_ns),
        "cpu_total": percent(usage.cpu_total_ns - before.cpu_total_ns),
        "cpu_kernel": percent(usage.cpu_kernel_ns - before.cpu_kernel_ns),
    }


def thin(stats: Sequence[CallStat], max_points: int) -> list[CallStat]:
    """*stats* as they are if they are few; else the averages of *max_points* equal windows, without the empty ones."""
    if len(stats) <= max_points:
        return list(stats)
    begin, end = stats[0].timestamp, stats[-1].timestamp
    window = max((end - begin) / max_points, timedelta(microseconds=1))

    def place(stat: CallStat) -> int:
        return min(max_points - 1, (stat.timestamp - begin) // window)

    return [_average(list(group)) for _, group in groupby(stats, place)]


def _average(window: list[CallStat]) -> CallStat:
    names = dict.fromkeys(name for stat in window for name in stat.metrics)
    values = {name: [stat.metrics[name] for stat in window if name in stat.metrics] for name in names}
    return CallStat(
        timestamp=window[0].timestamp,
        metrics={name: sum(found) // len(found) for name, found in values.items()},
    )
