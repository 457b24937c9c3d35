"""What Redis lost comes back by itself, in order; what the queue gave up on is settled."""

import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api import reconciler as reconciler_module
from api.keys import METRICS
from api.maintenance import Maintenance
from api.reconciler import Reconciler
from common.models import Call, CallStatus, QueueEntry, new_id
from common.settings import Settings
from common.store.base import ClaimRequest
from deploy.local import LocalRedis
from tests.integration.api.served import ROOMY, ServedApi
from tests.polling import eventually


async def test_flushall_costs_one_interval_and_no_call(
    settings: Settings, own_redis: LocalRedis, admin: Redis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url, reconcile_interval_s=0.5)) as api:
        path = await api.create_route()
        queued = [await api.submit(path, Millrace_Priority=str(n % 3)) for n in range(50)]
        delayed = [await api.submit(path, Millrace_Delay="100") for _ in range(5)]
        await admin.flushall()

        async def is_whole() -> bool:
            return (await api.queue.depth()).calls == 55

        await eventually(is_whole, timeout_s=5)
        depth = (await api.get("/v1/queue")).json
        assert (depth["delayed"], depth["conserved"]) == (5, True)
        scrape = (await api.get("/metrics")).body
        assert b"millrace_calls_reconciled_total 55.0" in scrape
        in_order = [queued[n] for priority in (2, 1, 0) for n in range(50) if n % 3 == priority]
        assert [str(one.call.id) for one in await api.claim()] == in_order
        assert (await api.get(f"/v1/apps/app/calls/{delayed[0]}")).json["call"]["status"] == "delayed"


async def test_what_a_killed_redis_had_not_yet_written_comes_back(
    settings: Settings, own_redis: LocalRedis
) -> None:
    """With appendfsync everysec a second of pushes may be gone; here all that was written is gone as well."""
    async with ServedApi(replace(settings, redis_url=own_redis.url, reconcile_interval_s=0.5)) as api:
        path = await api.create_route()
        call_ids = [await api.submit(path) for _ in range(20)]
        os.kill(own_redis.child.pid, signal.SIGKILL)
        await own_redis.child.wait()
        (own_redis.directory / "data" / "appendonly.aof").unlink()
        await own_redis.start()

        async def is_whole() -> bool:
            return bool((await api.get("/v1/queue")).json.get("calls") == 20)

        await eventually(is_whole, timeout_s=20)
        assert [str(one.call.id) for one in await api.claim()] == call_ids


async def test_a_start_brings_back_everything_that_is_unfinished(settings: Settings) -> None:
    async with ServedApi(settings) as api:
        path = await api.create_route()
        call_ids = [await api.submit(path) for _ in range(3)]
    async with ServedApi(replace(settings, queue_name="another")) as api:

        async def is_whole() -> bool:
            return (await api.queue.depth()).calls == 3

        await eventually(is_whole)
        assert [str(one.call.id) for one in await api.claim()] == call_ids
        await api.queue.ack((await api.queue.reserve(ROOMY, new_id())).reservations)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler_module, "PAGE_CALLS", 4)


async def stored(api: ServedApi, count: int, age: timedelta) -> list[QueueEntry]:
    """Calls that were stored and, for whatever reason, never pushed."""
    created_at = datetime.now(UTC) - age
    if (await api.get("/v1/apps/app")).status == 404:
        await api.create_route()
    return await api.store.insert_calls(
        [
            Call(id=new_id(), app_name="app", path="/p", type="async", memory=1, created_at=created_at)
            for _ in range(count)
        ]
    )


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rounds but the test's own: those of the api begin with its start, and end who knows when."""
    monkeypatch.setattr(Maintenance, "start", lambda _maintenance: None)


def rounds_of(api: ServedApi) -> Reconciler:
    return Reconciler(api.store, api.queue, api.app[METRICS], replace(api.settings, reconcile_interval_s=10))


async def test_rounds_look_at_recent_calls_and_at_all_when_due(
    alone: None, api: ServedApi, small_pages: None
) -> None:
    rounds = rounds_of(api)
    assert await rounds.run_round() == 10
    lost_long_ago = await stored(api, 2, timedelta(hours=1))
    lost_lately = await stored(api, 5, timedelta(minutes=5))
    await rounds.run_round()
    assert (await api.queue.depth()).calls == len(lost_lately)
    rounds._full_due_s = 0
    await rounds.run_round()
    assert (await api.queue.depth()).calls == len(lost_lately) + len(lost_long_ago)


async def test_a_loss_makes_the_round_a_full_one_whatever_came_since(
    settings: Settings, own_redis: LocalRedis, admin: Redis, alone: None, small_pages: None
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        await stored(api, 11, timedelta(hours=1))
        await admin.flushall()
        await api.queue.push(await stored(api, 11, timedelta(0)))
        await rounds.run_round()
        assert (await api.queue.depth()).calls == 22


async def test_a_call_is_claimable_whatever_token_it_had_before_the_loss(
    settings: Settings, own_redis: LocalRedis, admin: Redis, alone: None
) -> None:
    """A Redis whose clock is behind the one that gave the tokens before; here by a century."""
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        (entry,) = await stored(api, 1, timedelta(hours=1))
        request = ClaimRequest(id=entry.id, token=2**52)
        assert await api.store.claim([request], new_id(), 5)
        await api.store.release([request], give_back_attempt=True)
        await admin.flushall()
        await rounds.run_round()
        assert [one.call.id for one in await api.claim()] == [entry.id]


async def test_a_rebuilt_queue_is_paused_before_it_has_a_call(
    settings: Settings, own_redis: LocalRedis, admin: Redis, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        assert (await api.post("/v1/queue/pause", {})).status == 200
        await stored(api, 3, timedelta(hours=1))
        await admin.flushall()
        push, was_paused = api.queue.push, []

        async def watched(entries: Sequence[QueueEntry]) -> int:
            was_paused.append((await api.queue.depth()).is_paused)
            return await push(entries)

        monkeypatch.setattr(api.queue, "push", watched)
        await rounds.run_round()
        assert was_paused == [True]
        assert await api.claim() == []
        assert (await api.queue.depth()).calls == 3


async def test_a_call_that_killed_too_many_workers_is_settled_and_forgotten(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    for _ in range(11):
        incarnation = new_id()
        await api.queue.reserve(ROOMY, incarnation)
        await api.queue.release_incarnation(incarnation)

    async def is_settled() -> bool:
        call = (await api.get(f"/v1/apps/app/calls/{call_id}")).json["call"]
        return (call["status"], call.get("detail")) == (CallStatus.ERROR, "too_many_attempts")

    await eventually(is_settled)

    async def is_buried() -> bool:
        return (await api.queue.depth()).calls == 0

    await eventually(is_buried)
