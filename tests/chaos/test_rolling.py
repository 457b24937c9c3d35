"""Every process restarted in order, one after the other, under load: only who connects anew has to try again."""

import pytest
from msgspec.structs import replace

from tests.chaos.cluster import Cluster
from tests.chaos.history import Answered, Refused
from tests.chaos.measured import Note
from tests.chaos.scene import SHAPE, under_load

pytestmark = [pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

ROLLING = replace(SHAPE, calls=700, per_s=25, sync_share=0.1)


async def test_a_rolling_restart_costs_nothing(cluster: Cluster, note: Note) -> None:
    history = cluster.witness.history
    async with under_load(cluster, ROLLING):
        for unit in cluster.units:
            assert await unit.restart() == 0, unit.name
            await cluster.ready(timeout_s=30)
    # An api that ends takes no new connection; whatever it has accepted, it answers.
    assert {refused.why for refused in history.of(Refused)} <= {"ClientConnectorError"}
    assert {answered.status for answered in history.of(Answered)} == {200}
    measured = note(
        "All processes restarted in order, one after the other",
        "a new connection to an api that ends is refused, the other api takes it; nothing else",
        history,
    )
    assert measured.redelivered == 0
