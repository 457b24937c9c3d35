"""One process at random is killed each second, under load: nothing is lost or doubled, and all agrees at the end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.chaos.checker import quantile
from tests.chaos.cluster import Plan
from tests.chaos.load import Shape
from tests.chaos.report import markdown
from tests.chaos.run import KillPlan, kill_loop
from tests.chaos.yard import HASTY, Yard

SHORT_S = 12.0
STARTS_AGAIN_S = 10.0  # for a machine that others use, too; reliability.md says what was measured

# Short leases, so that a worker whose supervisor died with it is missed soon.
SHORT = KillPlan(
    cluster=Plan(settings=HASTY),
    shape=Shape(calls=240, per_s=20, cold_share=0.05, sync_share=0.05),
    seconds=SHORT_S,
    singles=3,
)
ROOM_S = 200.0  # beyond the loop itself


@pytest.fixture
def plan(request: pytest.FixtureRequest) -> KillPlan:
    """The short one, or with ``--minutes`` as long a one, and then with the leases and heartbeats of every day."""
    minutes = request.config.getoption("--minutes")
    if minutes is None:
        return SHORT
    request.node.add_marker(pytest.mark.timeout(minutes * 60 + 600))
    shape = replace(SHORT.shape, calls=10**9, cold_share=0.1)
    return replace(SHORT, cluster=Plan(), shape=shape, seconds=minutes * 60, singles=20)


@pytest.mark.timeout(SHORT_S + ROOM_S)
@pytest.mark.asyncio(loop_scope="session")
async def test_one_kill_a_second(
    yard: Yard, plan: KillPlan, tell: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    keep: Path | None = request.config.getoption("--chaos-out")
    async with yard.cluster(plan.cluster) as cluster:
        report = await kill_loop(plan, cluster, say=print)
        if keep is not None:
            cluster.keep(keep)
    tell(markdown(report))
    assert report.is_clean, markdown(report)
    assert sum(report.figures.killed.values()) >= SHORT_S / 2
    median_s = quantile(report.singles_s, 0.5)
    assert median_s is not None
    assert median_s < STARTS_AGAIN_S
