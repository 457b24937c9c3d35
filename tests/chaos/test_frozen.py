"""A worker frozen past its lease and thawed again: others have its calls by then, and it must leave them alone."""

import os
import signal

import pytest

from tests.chaos.client import Client
from tests.chaos.cluster import Cluster
from tests.chaos.history import Began, Ended, History
from tests.chaos.measured import Note
from tests.chaos.scene import fault, nothing_amiss
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

# What the first attempt takes, and what every later one does. The short ones end while their worker is frozen, and are
# under way elsewhere when it is thawed. The long one would end long after that.
SHORT, LONG = "1500/4000", "25000/300"


async def test_a_frozen_worker_writes_nothing_and_its_container_ends(cluster: Cluster, note: Note) -> None:
    history = cluster.witness.history
    client = Client(0, cluster.http, cluster.urls, history)
    long = await client.submit("hot", LONG)
    (first,) = await eventually(lambda: begun(history, long), timeout_s=20)
    # More than the other worker has slots for.
    shorts = [await client.submit("hot", SHORT) for _ in range(4)]
    await eventually(lambda: all(begun(history, short) for short in shorts), timeout_s=20)
    shared = [short for short in shorts if begun(history, short)[0].incarnation == first.incarnation]
    assert shared
    (child,) = [
        child
        for worker in cluster.workers
        if (child := worker.child()) and child.incarnation == first.incarnation
    ]
    async with fault(history, "worker frozen"):
        os.kill(child.pid, signal.SIGSTOP)
        await eventually(lambda: all(len(begun(history, one)) == 2 for one in (long, *shared)), timeout_s=30)
        os.kill(child.pid, signal.SIGCONT)

    async def is_gone() -> bool:
        return first.container not in await cluster.containers()

    await eventually(is_gone, timeout_s=5)
    for call_id in (long, *shorts):
        await client.follow(call_id)
    await nothing_amiss(cluster, history)
    assert [end.attempt for end in history.by_call(Ended)[long]] == [2]
    assert {history.rows[call_id].attempt for call_id in (long, *shared)} == {2}
    note(
        "Worker: SIGSTOP past its lease, then SIGCONT",
        "its calls run elsewhere once the lease is over",
        history,
    )


def begun(history: History, call_id: str) -> list[Began]:
    return history.by_call(Began).get(call_id, [])
