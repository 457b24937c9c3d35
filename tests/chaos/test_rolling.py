"""Every process restarted in order, one after the other, under load: only who connects anew has to try again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.cluster import Cluster, Plan
from tests.chaos.history import Answered, Refused
from tests.chaos.load import Shape, loaded
from tests.chaos.measured import Note
from tests.chaos.scene import nothing_amiss
from tests.chaos.yard import Yard
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

SHAPE = Shape(calls=10_000, per_s=25, cold_share=0.02, delayed_share=0.1, sync_share=0.1, usual_ms=80)


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(yard: Yard) -> AsyncIterator[Cluster]:
    """With the leases of every day: nothing dies here, and short ones would run out where the machine stands still."""
    async with yard.cluster(Plan(apis=2, workers=2)) as cluster:
        yield cluster


async def test_a_rolling_restart_costs_nothing(cluster: Cluster, note: Note) -> None:
    history = cluster.witness.history
    async with loaded(cluster, history, SHAPE) as load:
        await eventually(lambda: load.accepted > SHAPE.per_s)
        for unit in cluster.units:
            assert await unit.restart() == 0, unit.name
            await cluster.ready(timeout_s=30)
        load.stop.set()
    await nothing_amiss(cluster, history)
    # An api that ends takes no new connection; whatever it has accepted, it answers.
    assert {refused.why for refused in history.of(Refused)} <= {"ClientConnectorError"}
    failed = [answered for answered in history.of(Answered) if answered.status != 200]
    assert not failed, [(answered, history.rows.get(answered.call_id)) for answered in failed]
    measured = note(
        "All processes restarted in order, one after the other",
        "a new connection to an api that ends is refused, the other api takes it; nothing else",
        history,
    )
    assert measured.redelivered == 0
    # Nothing was killed: whatever the reconciler puts back was never lost.
    assert cluster.who_said("calls were missing in the queue") == []
