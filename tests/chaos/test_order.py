"""Order: what waits runs by priority, first in first out, and after a loss of the queue as if nothing had been lost."""

import asyncio
import random
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.queue.keys import queue_keys
from tests.chaos.checker import inversions
from tests.chaos.client import Client
from tests.chaos.cluster import Cluster, Plan
from tests.chaos.measured import Note
from tests.chaos.scene import fault, nothing_amiss
from tests.chaos.yard import HASTY, Yard
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

CALLS = 100
CLIENTS, BACKLOG = 8, 800


async def test_one_client_and_one_slot(yard: Yard) -> None:
    """No fault: calls start in the order in which they were accepted, within their priority."""
    one_slot = Plan(apis=1, workers=1, settings={**HASTY, "worker_slots": 1})
    async with yard.cluster(one_slot) as cluster:
        history = cluster.witness.history
        client = Client(0, cluster.http, cluster.urls, history)
        drawn = random.Random(0)
        for _ in range(CALLS):
            await client.submit("hot", "5", {"Millrace-Priority": str(drawn.randrange(3))})
        await nothing_amiss(cluster, history)
        assert len(history.rows) == CALLS
        assert inversions(history.rows.values()) == []


async def test_two_reconcilers_restore_a_lost_queue_at_once(cluster: Cluster, yard: Yard, note: Note) -> None:
    """Each call comes back once, to its place, though two apis find out at the same time and both have all of them."""
    history, url = cluster.witness.history, cluster.urls[0]
    await post(cluster, f"{url}/v1/queue/pause")
    drawn = random.Random(0)
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            client = Client(number, cluster.http, cluster.urls, history)
            group.create_task(submit_many(client, BACKLOG // CLIENTS, drawn))
    rows = sorted(await cluster.audit.rows(), key=lambda row: (-row.priority, row.order_no))
    in_order = [row.call_id for row in rows]
    restored = await reconciled(cluster)
    async with Redis.from_url(yard.servers.redis.url, protocol=2) as admin:
        assert await waiting(cluster, admin) == in_order
        async with fault(history, "flushall"):
            await admin.flushall()

            async def are_back() -> bool:
                return len(await waiting(cluster, admin)) == BACKLOG

            await eventually(are_back, timeout_s=20)
        assert await waiting(cluster, admin) == in_order
    assert await reconciled(cluster) - restored == BACKLOG
    await post(cluster, f"{url}/v1/queue/resume")
    await nothing_amiss(cluster, history)
    assert {row.attempt for row in history.rows.values()} == {1}
    note(
        f"Redis: FLUSHALL with {BACKLOG:,} calls waiting, two reconcilers",
        "nothing: the queue is as it was",
        history,
    )


async def submit_many(client: Client, calls: int, drawn: random.Random) -> None:
    for _ in range(calls):
        await client.submit("hot", "1", {"Millrace-Priority": str(drawn.randrange(3))})


async def post(cluster: Cluster, url: str) -> None:
    async with cluster.http.post(url) as reply:
        assert reply.status == 200, await reply.text()


async def waiting(cluster: Cluster, admin: Redis) -> list[str]:
    """All calls that wait in the queue, the next one first."""
    ids = await admin.zrange(queue_keys(cluster.queue_name).ready, 0, -1)
    return [str(UUID(bytes=id_)) for id_ in ids if isinstance(id_, bytes)]


async def reconciled(cluster: Cluster) -> int:
    """How many calls the reconcilers of all apis have brought back so far."""
    return sum([await metric(cluster, url, "millrace_calls_reconciled_total") for url in cluster.urls])


async def metric(cluster: Cluster, url: str, name: str) -> int:
    """A counter's value, with whatever labels."""
    async with cluster.http.get(f"{url}/metrics") as reply:
        lines = [line for line in (await reply.text()).splitlines() if line.startswith(name)]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)
