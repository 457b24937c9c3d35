"""The target of cold sync calls, judged by one run's figures."""

from collections.abc import Iterable

from tests.load.cold.figures import ColdLine
from tests.load.target import Target

TIMES_BARE = 1.15


def judge(lines: Iterable[ColdLine]) -> list[Target]:
    """On each network, one call at a time."""
    return [_target(line) for line in lines if line.at_once == 1]


def _target(line: ColdLine) -> Target:
    ratio = line.sync.p50_ms / line.whole.p50_ms
    without = line.sync.p50_ms / line.answered.p50_ms
    return Target(
        wanted=f"cold sync calls, network {line.network}: p50 at most {TIMES_BARE} x the bare steps, removal too",
        measured=f"{ratio:.2f} x; {without:.2f} x one that is not removed",
        is_reached=ratio <= TIMES_BARE,
    )
