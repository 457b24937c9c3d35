"""Servers away: no fake accept without Postgres, no refusal without Redis, and a readiness that says who is missing."""

import time

from msgspec.structs import replace
from redis.asyncio import Redis

from common.errors import QueueUnavailableError
from common.queue.base import Depth
from common.settings import Settings
from deploy.local import LocalPostgres, LocalRedis
from tests.integration.api.served import ServedApi
from tests.polling import eventually


async def test_without_postgres_nothing_is_accepted_and_it_comes_back(
    settings: Settings, own_postgres: LocalPostgres
) -> None:
    """Fn's U-16: what can't be kept is not accepted."""
    async with ServedApi(replace(settings, database_url=own_postgres.url)) as api:
        path = await api.create_route()
        await api.submit(path)
        await own_postgres.stop()
        for method, url in (("POST", path), ("GET", "/v1/apps"), ("PUT", "/v1/apps/app/routes/hello")):
            answer = await api.ask(method, url, json={"route": {"image": "i"}})
            assert (answer.status, answer.headline) == (503, "Datastore is unavailable")
            assert answer.json["error"]["code"] == "store_unavailable"
            assert answer.headers["Retry-After"]
        ready = await api.get("/readyz")
        assert ready.status == 503
        assert "Postgres" in ready.message
        assert "Redis" not in ready.message
        assert (await api.get("/healthz")).status == 200
        assert (await api.get("/v1/queue")).json["calls"] == 1
        await own_postgres.start()

        async def accepts() -> bool:
            return (await api.ask("POST", path)).status == 202

        await eventually(accepts)
        assert await api.rows() == 2


async def test_connections_that_were_cut_fail_no_call_for_long(api: ServedApi) -> None:
    path = await api.create_route()
    await api.submit(path)
    await api.store.get_database().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def accepts() -> bool:
        return (await api.ask("POST", path)).status == 202

    await eventually(accepts)


async def test_without_redis_calls_are_accepted_and_queued_when_it_is_back(
    settings: Settings, own_redis: LocalRedis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url, reconcile_interval_s=0.3)) as api:
        path = await api.create_route()
        first = await api.submit(path)
        await own_redis.stop()
        call_ids = [first] + [await api.submit(path) for _ in range(5)]
        assert (await api.get("/v1/queue")).headline == "Queue is unavailable"
        ready = await api.get("/readyz")
        assert (ready.status, ready.json["status"]) == (200, "degraded")
        assert ready.json["servers"]["postgres"] == "ok"
        assert "Redis does not answer" in ready.json["servers"]["redis"]
        scrape = await api.get("/metrics")
        assert scrape.status == 200
        assert b"millrace_calls_accepted_total 6.0" in scrape.body
        assert b'millrace_server_up{server="redis"} 0.0' in scrape.body
        assert b'millrace_server_up{server="postgres"} 1.0' in scrape.body
        assert b"millrace_dead_calls{" in scrape.body
        assert b"NaN" not in scrape.body
        assert b"millrace_queue_paused{" not in scrape.body
        await own_redis.start()

        async def are_queued() -> bool:
            answer = await api.get("/v1/queue")
            return answer.status == 200 and answer.json["calls"] == 6

        await eventually(are_queued, timeout_s=20)
        assert [str(one.call.id) for one in await api.claim()] == call_ids
        assert (await api.get("/readyz")).json["status"] == "ready"


async def test_calls_of_an_outage_are_pushed_before_those_that_came_after_it(
    settings: Settings, own_redis: LocalRedis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url, reconcile_interval_s=3600)) as api:
        path = await api.create_route()
        call_ids = [await api.submit(path)]
        await own_redis.stop()
        call_ids += [await api.submit(path) for _ in range(3)]
        await own_redis.start()
        call_ids.append(await api.submit(path))
        taken: list[str] = []

        async def are_taken() -> bool:
            taken.extend([str(one.call.id) for one in await api.claim()])
            return len(taken) == len(call_ids)

        await eventually(are_taken)
        assert taken == call_ids


async def test_a_redis_without_memory_refuses_calls_until_it_has_some_again(
    settings: Settings, own_redis: LocalRedis, admin: Redis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url, reconcile_interval_s=3600)) as api:
        path = await api.create_route()
        call_ids = [await api.submit(path)]
        await admin.config_set("maxmemory", 1)
        call_ids.append(await api.submit(path))

        async def is_refused() -> bool:
            answer = await api.ask("POST", path)
            if answer.status == 202:
                call_ids.append(answer.json["call_id"])
            return answer.status == 503

        await eventually(is_refused)
        for _ in range(5):
            answer = await api.ask("POST", path)
            assert (answer.status, answer.json["error"]["code"]) == (503, "queue_full")
        assert await api.rows() == len(call_ids)
        await admin.config_set("maxmemory", 0)

        async def is_taken() -> bool:
            answer = await api.ask("POST", path)
            if answer.status == 202:
                call_ids.append(answer.json["call_id"])
            return answer.status == 202

        await eventually(is_taken)

        async def are_queued() -> bool:
            return (await api.queue.depth()).calls == len(call_ids)

        await eventually(are_queued)
        assert [str(one.call.id) for one in await api.claim()] == call_ids


async def test_a_delay_goes_on_while_the_queue_is_away(settings: Settings, own_redis: LocalRedis) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url, reconcile_interval_s=3600)) as api:
        path = await api.create_route()
        await own_redis.stop()
        call_id = await api.submit(path, Millrace_Delay="1")

        async def is_due() -> bool:
            call: dict[str, str] = (await api.get(f"/v1/apps/app/calls/{call_id}")).json["call"]
            return call["status"] == "queued"

        await eventually(is_due)
        await own_redis.start()

        async def pushed() -> Depth | None:
            try:
                depth = await api.queue.depth()
            except QueueUnavailableError:
                return None
            return depth if depth.calls else None

        depth = await eventually(pushed)
        assert depth is not None
        assert depth.delayed == 0


async def test_without_redis_the_last_known_depth_still_counts(
    settings: Settings, own_redis: LocalRedis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url, queue_max_calls=4)) as api:
        path = await api.create_route()
        await api.submit(path)
        await own_redis.stop()
        answers = [(await api.ask("POST", path)).status for _ in range(6)]
        assert answers == [202] * 3 + [503] * 3


async def test_a_redis_that_hangs_slows_calls_only_a_little(
    settings: Settings, own_redis: LocalRedis, admin: Redis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        path = await api.create_route()
        await api.submit(path)
        await admin.client_pause(3000)
        started_s = time.monotonic()
        for _ in range(5):
            await api.submit(path)
        assert time.monotonic() - started_s < 2.5

        async def are_queued() -> bool:
            return (await api.queue.depth()).calls == 6

        await eventually(are_queued, timeout_s=15)
