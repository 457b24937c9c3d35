"""Calls too large for every worker end, leave the queue, and let those behind them through."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api.keys import ANNOUNCER, METRICS
from api.oversized import HEAD_CALLS, Oversized
from common.errors import QueueUnavailableError
from common.models import Call, CallStatus, QueueEntry, new_id
from common.queue.base import Capacity
from common.settings import Settings
from deploy.local import LocalRedis
from tests.integration.api.served import ServedApi

SMALL_MB = 1024
SMALL = Capacity(slots=4, sync_slots=0, async_slots=4, free_mb=SMALL_MB, total_mb=SMALL_MB)


def oversized_of(api: ServedApi, grace_s: float = 0) -> Oversized:
    return Oversized(api.store, api.queue, api.app[ANNOUNCER], api.app[METRICS], grace_s)


async def queued(api: ServedApi, count: int, memory_mb: int) -> list[QueueEntry]:
    """Calls that have waited for an hour."""
    if (await api.get("/v1/apps/app")).status == 404:
        await api.create_route()
    created_at = datetime.now(UTC) - timedelta(hours=1)
    entries = await api.store.insert_calls(
        [
            Call(
                id=new_id(), app_name="app", path="/p", type="async", memory=memory_mb, created_at=created_at
            )
            for _ in range(count)
        ]
    )
    await api.queue.push(entries)
    return entries


async def status_of(api: ServedApi, call_id: UUID) -> tuple[CallStatus, str]:
    call = await api.store.get_call("app", call_id)
    return call.status, call.detail


async def test_the_small_calls_behind_many_that_are_too_large_get_through(api: ServedApi) -> None:
    large = await queued(api, HEAD_CALLS + 20, SMALL_MB + 1)
    small = await queued(api, 3, SMALL_MB)
    worker, rounds = new_id(), oversized_of(api)
    assert await rounds.run_round() > 0
    assert await status_of(api, large[0].id) == (CallStatus.QUEUED, "")  # no worker at all
    await api.store.register_worker(worker, "here", 4, SMALL_MB)
    assert (await api.queue.reserve(SMALL, worker)).reservations == []
    for _ in range(2):
        await rounds.run_round()
        assert (await api.queue.depth()).calls == len(small)
    for entry in large:
        assert await status_of(api, entry.id) == (CallStatus.ERROR, "no_capacity")
    taken = (await api.queue.reserve(SMALL, worker)).reservations
    assert taken[0].id == small[0].id
    scrape = (await api.get("/metrics")).body.decode()
    counted = 'millrace_calls_finished_total{detail="no_capacity",reason="killed",status="error"} 120.0'
    assert counted in scrape


async def test_a_large_worker_that_restarts_is_not_missing(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    (large,) = await queued(api, 1, SMALL_MB + 1)
    small_worker, large_worker, rounds = new_id(), new_id(), oversized_of(api, grace_s=3600)
    await api.store.register_worker(small_worker, "here", 4, SMALL_MB)
    await api.store.register_worker(large_worker, "here", 4, 2 * SMALL_MB)
    await rounds.run_round()
    rounds._since_s -= 3601
    await rounds.run_round()
    await api.store.remove_worker(large_worker)
    await rounds.run_round()
    assert await status_of(api, large.id) == (CallStatus.QUEUED, "")
    rounds._since_s -= 3601
    await rounds.run_round()
    assert await status_of(api, large.id) == (CallStatus.ERROR, "no_capacity")


async def test_what_the_queue_was_not_told_of_leaves_it_later(
    settings: Settings, own_redis: LocalRedis, admin: Redis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        large = await queued(api, 40, SMALL_MB + 1)
        await queued(api, 1, SMALL_MB)
        await api.store.register_worker(new_id(), "here", 4, SMALL_MB)
        rounds = oversized_of(api)
        await own_redis.stop()
        with pytest.raises(QueueUnavailableError):
            await rounds.run_round()
        await own_redis.start()
        assert await status_of(api, large[0].id) == (CallStatus.ERROR, "no_capacity")
        await rounds.run_round()
        assert (await api.queue.depth()).calls == 1
