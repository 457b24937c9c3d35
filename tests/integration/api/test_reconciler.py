"""What Redis lost comes back by itself, in order; what the queue gave up on is settled."""

import os
import signal
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api import pusher, restoring
from api.keys import LIFE
from common.models import CallStatus, QueueEntry, new_id
from common.queue.redis import RedisQueue
from common.settings import Settings
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

        async def is_counted() -> bool:
            return b'millrace_calls_reconciled_total{cause="loss"} 55.0' in (await api.get("/metrics")).body

        await eventually(is_counted)
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


async def test_new_calls_wait_until_older_ones_are_back(
    settings: Settings, own_redis: LocalRedis, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two apis, of which one restores, page by page, and after each a call has come in at both.

    Between the apis, the order of calls that came in the last moments before all were back is not exact.
    """
    monkeypatch.setattr(restoring, "PAGE_CALLS", 10)
    settings = replace(settings, redis_url=own_redis.url, reconcile_interval_s=3600)
    async with ServedApi(settings) as api, ServedApi(settings) as other:
        await eventually(lambda: api.app[LIFE].generation and other.app[LIFE].generation)
        path = await api.create_route()
        old = [await api.submit(path) for _ in range(100)]
        new: dict[ServedApi, list[str]] = {api: [], other: []}
        push = RedisQueue.push

        async def submit() -> None:
            for one, call_ids in new.items():
                call_ids.append(await one.submit(path))

        async def push_and_submit(
            queue: RedisQueue, entries: Sequence[QueueEntry], generation: int | None = None
        ) -> int:
            restored = await push(queue, entries, generation)
            if len(entries) == 10 and len(new[api]) < 20:
                await submit()
            return restored

        monkeypatch.setattr(RedisQueue, "push", push_and_submit)
        await admin.flushall()
        await submit()
        taken: list[str] = []

        async def are_taken() -> bool:
            taken.extend([str(one.call.id) for one in await api.claim()])
            return len(taken) == len(old) + len(new[api]) + len(new[other]) > 120

        await eventually(are_taken)
        assert taken[:100] == old
        for call_ids in new.values():
            assert [call_id for call_id in taken if call_id in call_ids] == call_ids


async def test_new_calls_do_not_wait_for_ever(
    alone: None, settings: Settings, own_redis: LocalRedis, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody restores the queue here."""
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        api.app[LIFE].confirm(await api.queue.generation())
        path = await api.create_route()
        await api.submit(path)
        await admin.flushall()
        call_id = await api.submit(path)

        async def is_refused() -> bool:
            return api.app[LIFE].doubted.is_set()

        await eventually(is_refused)
        assert (await api.queue.depth()).calls == 0
        monkeypatch.setattr(pusher, "HOLD_S", 0.1)

        async def is_pushed() -> bool:
            return [str(one.id) for one in await api.queue.peek(9)] == [call_id]

        await eventually(is_pushed)


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
