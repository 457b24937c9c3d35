"""Whether everything agrees at the end: rows, queue, containers, temporary files and keys. Looks; removes nothing."""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from common.queue.base import Depth
from common.queue.redis import RedisQueue
from common.settings import Settings
from tests.chaos.cluster import Cluster
from tests.polling import eventually

# What stays in Redis, by the last part of its name: the queue's counters and tokens that carry nothing; for a minute,
# the ids of sync calls that have ended.
CONSTANT_KEYS = frozenset({"state", "wake_async", "wake_sync", "ended"})
SETTLED_S = 90.0


async def settled(cluster: Cluster, timeout_s: float = SETTLED_S) -> None:
    """Wait until no call is unfinished and the queue is empty. Raises AssertionError if that takes longer."""

    async def is_settled() -> bool:
        return not await cluster.audit.unfinished() and not (await _depth(cluster)).calls

    await eventually(is_settled, timeout_s, interval_s=0.2)


async def disagreements(cluster: Cluster) -> list[str]:
    """What is there and should not be, once all is settled and every process was stopped in order."""
    looks: list[Callable[[Cluster], Awaitable[list[str]]]] = [_in_store, _in_queue, _in_engine, _in_files]
    return [found for look in looks for found in await look(cluster)]


async def _in_store(cluster: Cluster) -> list[str]:
    checks = {
        "calls without an end": "SELECT count(*) FROM calls WHERE status IN ('delayed', 'queued', 'running')",
        "calls that are final without an instant": (
            "SELECT count(*) FROM calls WHERE status IN ('success', 'error', 'cancelled') AND completed_at IS NULL"
        ),
        "successes without a result": (
            "SELECT count(*) FROM calls LEFT JOIN call_results ON call_id = id"
            " WHERE calls.status = 'success' AND type = 'async' AND call_id IS NULL"
        ),
        "results of nobody": "SELECT count(*) FROM call_results LEFT JOIN calls ON id = call_id WHERE id IS NULL",
        "inputs of nobody": "SELECT count(*) FROM call_inputs LEFT JOIN calls ON id = call_id WHERE id IS NULL",
    }
    counts = {what: await cluster.audit.ask(sql) for what, sql in checks.items()}
    return [f"{count} {what}" for what, count in counts.items() if count]


async def _in_queue(cluster: Cluster) -> list[str]:
    client: Redis = Redis.from_url(cluster.addresses.direct_redis_url, protocol=2)
    async with client:
        keys = [key.decode() async for key in client.scan_iter("*")]
    own = [key for key in keys if f"{{millrace:{cluster.queue_name}}}" in key]
    left = [key for key in own if key.rpartition(":")[2] not in CONSTANT_KEYS and ":replies:" not in key]
    depth = await _depth(cluster)
    found = [f"key {key} is left" for key in left]
    if depth.calls or not depth.is_conserved:
        found.append(f"the queue is not empty: {depth}")
    return found


async def _depth(cluster: Cluster) -> Depth:
    settings = Settings(redis_url=cluster.addresses.direct_redis_url, queue_name=cluster.queue_name)
    queue = RedisQueue.open(settings)
    try:
        return await queue.depth()
    finally:
        await queue.aclose()


async def _in_engine(cluster: Cluster) -> list[str]:
    return [f"container {container[:12]} is left" for container in await cluster.containers()]


async def _in_files(cluster: Cluster) -> list[str]:
    places = (cluster.temporary, cluster.spool)
    found = sorted(path for place in places for path in place.rglob("*") if not path.is_dir())
    return [f"file {path} is left" for path in found]
