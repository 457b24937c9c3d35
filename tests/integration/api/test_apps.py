"""Apps, beyond Fn v1's contract (test_fn_contract_apps.py): what else a deletion does, what else may be sent."""

import pytest
from msgspec.structs import replace

from api.handlers import apps
from common.models import new_id
from common.queue.base import Extension
from common.settings import Settings
from common.store import apps as stored_apps
from common.store.base import ClaimRequest
from deploy.local import LocalRedis
from tests.integration.api.served import ROOMY, ServedApi

ONE = replace(ROOMY, slots=1, async_slots=1)


async def test_a_change_may_repeat_the_name(api: ServedApi) -> None:
    await api.post("/v1/apps", {"app": {"name": "app"}})
    assert (await api.ask("PATCH", "/v1/apps/app", json={"app": {"name": "app"}})).status == 200


async def test_the_queue_forgets_the_calls_of_a_deleted_app(api: ServedApi) -> None:
    path = await api.create_route()
    waiting, running = (
        [await api.submit(path) for _ in range(2)],
        await api.submit(path, Millrace_Priority="2"),
    )
    await api.submit(path, Millrace_Delay="100")
    (reservation,) = (await api.queue.reserve(ONE, new_id())).reservations
    assert str(reservation.id) == running
    assert (await api.ask("DELETE", "/v1/apps/app")).status == 200
    assert (await api.queue.depth()).calls == 1, waiting
    assert await api.queue.extend([reservation]) == [Extension.CANCEL_REQUESTED]


async def test_a_deletion_of_many_calls_that_breaks_off_goes_on_when_it_is_asked_again(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "BATCH", 3)
    monkeypatch.setattr(stored_apps, "REMOVE_TIMEOUT_S", 0.3)
    path = await api.create_route()
    for number in range(7):
        await api.submit(path, Idempotency_Key=f"ended-{number}")
    await api.run_all()
    running = await api.submit(path, Idempotency_Key="running")
    (reservation,) = (await api.queue.reserve(ONE, new_id())).reservations
    assert await api.store.claim([ClaimRequest(id=reservation.id, token=reservation.token)], new_id(), 5)
    for number in range(7):
        await api.submit(path, Idempotency_Key=f"waiting-{number}", Millrace_Delay=str(100 * (number % 2)))
    assert (await api.queue.depth()).calls == 8
    async with api.store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE status = 'running' FOR UPDATE")
        answer = await api.ask("DELETE", "/v1/apps/app")
    assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")
    assert (await api.get("/v1/apps/app")).status == 200
    assert [call["id"] for call in (await api.get("/v1/apps/app/calls")).json["calls"]] == [running]
    assert await api.rows("idempotency_keys") == (await api.queue.depth()).calls == 1
    assert await api.queue.extend([reservation]) == [Extension.HELD]

    await api.submit(path)
    assert (await api.ask("DELETE", "/v1/apps/app")).status == 200
    for table in ("apps", "routes", "calls", "call_inputs", "call_results", "call_logs", "idempotency_keys"):
        assert await api.rows(table) == 0, table
    assert (await api.queue.depth()).calls == 1
    assert await api.queue.extend([reservation]) == [Extension.CANCEL_REQUESTED]


async def test_calls_of_an_app_that_is_just_being_deleted_are_asked_to_come_later(api: ServedApi) -> None:
    path, other = await api.create_route(), await api.create_route("other")
    call_id = await api.submit(path)
    await api.run_all()
    async with api.store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM apps WHERE name = 'app'")
        await api.submit(other)
        for answer in (
            await api.ask("POST", path),
            await api.post("/v1/apps/app/calls", {"path": "/hello"}),
            await api.ask("POST", f"/v1/apps/app/calls/{call_id}/retry"),
        ):
            assert (answer.status, answer.json["error"]["code"]) == (503, "app_being_removed")
            assert answer.headers["Retry-After"] == "5"
    assert await api.rows() == 2


async def test_an_app_is_deleted_while_the_queue_is_away(
    settings: Settings, own_redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "BATCH", 1)
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        path = await api.create_route()
        for _ in range(3):
            await api.submit(path)
        await own_redis.stop()
        assert (await api.ask("DELETE", "/v1/apps/app")).status == 200
        assert await api.rows("apps") == await api.rows() == 0
