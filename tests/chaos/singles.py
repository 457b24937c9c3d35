"""Single kills: one worker child at a time, with load on everybody, and all well again before the next."""

import asyncio

from tests.chaos.agreement import settled
from tests.chaos.cluster import Cluster
from tests.chaos.history import Began, Ended, History
from tests.chaos.killer import Killer, Victim
from tests.chaos.load import Shape, loaded
from tests.polling import eventually

# Whoever is killed has some of these at that moment, and the others have room for them.
PER_S, USUAL_MS = 25.0, 100
BUSY_S = 20.0


async def kill_singly(cluster: Cluster, history: History, times: int) -> None:
    """Kill a child that has begun a call and not ended it, *times* times."""
    killer = Killer(cluster, history)
    shape = Shape(calls=10**9, per_s=PER_S, cold_share=0, usual_ms=USUAL_MS)
    async with loaded(cluster, history, shape) as load:
        for _ in range(times):
            victim = await eventually(lambda: _busy(killer, history), BUSY_S, interval_s=0.001)
            assert victim is not None
            killer.kill(victim)
            await asyncio.sleep(0.5)
            await cluster.ready()
        load.stop.set()
    await settled(cluster)


def _busy(killer: Killer, history: History) -> Victim | None:
    """A child that is in the middle of a call."""
    open_calls = {(one.call_id, one.attempt): one.incarnation for one in history.of(Began)}
    for end in history.of(Ended):
        open_calls.pop((end.call_id, end.attempt), None)
    busy = killer.victims(lambda victim: victim.kind == "child" and victim.incarnation in open_calls.values())
    return busy[0] if busy else None
