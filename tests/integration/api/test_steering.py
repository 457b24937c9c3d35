"""Cancel and retry over HTTP, with stand-ins for the worker: what the store says counts, whatever Redis knows."""

import asyncio
import random

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api.keys import ADMISSION
from api.maintenance import Maintenance
from common.models import CallStatus, QueueEntry, new_id, parse_id
from common.queue.base import Extension
from common.settings import Settings
from common.store.base import ClaimRequest
from deploy.local import LocalRedis
from tests.integration.api.rounds import rounds_of
from tests.integration.api.served import ROOMY, ServedApi
from tests.integration.api.stand_in import StandIn, ended
from tests.polling import eventually

CALLS = "/v1/apps/app/calls"


async def cancel(api: ServedApi, call_id: str, status: int = 200) -> str:
    """Cancel a call; what the api says of it."""
    answer = await api.ask("DELETE", f"{CALLS}/{call_id}")
    assert answer.status == status, answer.body
    if status != 200:
        return answer.headline
    assert answer.json["call"]["id"] == call_id
    message: str = answer.json["message"]
    return message


async def call_of(api: ServedApi, call_id: str) -> dict[str, object]:
    call: dict[str, object] = (await api.get(f"{CALLS}/{call_id}")).json["call"]
    return call


@pytest.mark.parametrize("delay", ["0", "60"])
async def test_a_waiting_call_is_cancelled_at_once_and_again(api: ServedApi, delay: str) -> None:
    call_id = await api.submit(await api.create_route(), Millrace_Delay=delay)
    for _ in range(2):
        assert await cancel(api, call_id) == "Call cancelled"
        call = await call_of(api, call_id)
        assert (call["status"], call["reason"]) == ("cancelled", "client_request")
        assert (await api.queue.depth()).calls == 0
    assert await api.claim() == []
    scrape = (await api.get("/metrics")).body.decode()
    assert 'finished_total{detail="",reason="client_request",status="cancelled"} 1.0' in scrape


async def test_the_holder_of_a_running_call_hears_of_its_cancel(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    incarnation = new_id()
    await api.store.register_worker(incarnation, "here", 1, 1024)
    reservations = (await api.queue.reserve(ROOMY, incarnation)).reservations
    requests = [ClaimRequest(id=taken.id, token=taken.token) for taken in reservations]
    await api.store.claim(requests, incarnation, 5)
    for _ in range(2):
        assert await cancel(api, call_id) == "Cancellation requested"
        assert (await call_of(api, call_id))["status"] == "running"
    assert await api.queue.extend(reservations) == [Extension.CANCEL_REQUESTED]
    assert await api.store.cancel_requested(requests) == {parse_id(call_id)}


async def test_a_running_call_that_is_back_in_the_queue_is_cancelled_at_once(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    incarnation = new_id()
    await api.store.register_worker(incarnation, "here", 1, 1024)
    reservations = (await api.queue.reserve(ROOMY, incarnation)).reservations
    requests = [ClaimRequest(id=taken.id, token=taken.token) for taken in reservations]
    claimed = await api.store.claim(requests, incarnation, 5)
    await api.queue.release(reservations)  # as when its lease expired: the worker lives, and has lost it
    assert await cancel(api, call_id) == "Call cancelled"
    call = await call_of(api, call_id)
    assert (call["status"], call["reason"]) == ("cancelled", "client_request")
    assert await api.settle(claimed) == {
        parse_id(call_id)
    }  # what it brings late is answered, and changes nothing
    assert (await call_of(api, call_id))["status"] == "cancelled"
    assert await cancel(api, call_id) == "Call cancelled"
    scrape = (await api.get("/metrics")).body.decode()
    assert 'finished_total{detail="",reason="client_request",status="cancelled"} 1.0' in scrape


async def test_a_final_call_says_how_it_ended(api: ServedApi) -> None:
    path = await api.create_route()
    for well, status in ((True, "success"), (False, "error")):
        call_id = await api.submit(path)
        await api.finish(call_id, well=well)
        before = await call_of(api, call_id)
        answer = await api.ask("DELETE", f"{CALLS}/{call_id}")
        assert (answer.status, answer.json["error"]["code"]) == (409, "call_is_final")
        assert answer.message == f"Call is final: its status is {status}"
        assert await call_of(api, call_id) == before


async def test_what_is_no_call_of_the_app_is_not_found(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    await api.create_route("other")
    for method, suffix in (("DELETE", ""), ("POST", "/retry")):
        for path in (f"{CALLS}/{new_id()}", f"{CALLS}/dummy", f"/v1/apps/other/calls/{call_id}"):
            answer = await api.ask(method, path + suffix)
            assert (answer.status, answer.headline) == (404, "Call not found")
        assert (await api.ask(method, f"/v1/apps//calls/{call_id}{suffix}")).status == 400
    assert (await call_of(api, call_id))["status"] == "queued"


async def test_a_sync_call_can_not_be_cancelled_or_retried_by_its_id(api: ServedApi) -> None:
    path = await api.create_route(type="sync")
    worker = StandIn(api.queue)
    calling = asyncio.create_task(api.ask("POST", path))
    taken = await worker.take()
    assert await cancel(api, str(taken.call.id), 404) == "Call not found"
    await worker.reply(taken, ended())
    answer = await calling
    assert answer.status == 200


async def test_a_cancel_without_redis_is_as_good(settings: Settings, own_redis: LocalRedis) -> None:
    settings = replace(settings, redis_url=own_redis.url, reconcile_interval_s=0.3)
    async with ServedApi(settings) as api:
        path = await api.create_route()
        running, queued, kept = [await api.submit(path) for _ in range(3)]
        incarnation = new_id()
        await api.store.register_worker(incarnation, "here", 1, 1024)
        one = replace(ROOMY, slots=1)
        reservations = (await api.queue.reserve(one, incarnation)).reservations
        requests = [ClaimRequest(id=taken.id, token=taken.token) for taken in reservations]
        await api.store.claim(requests, incarnation, 5)
        await own_redis.stop()
        assert await cancel(api, running) == "Cancellation requested"
        assert await cancel(api, queued) == "Call cancelled"
        assert await api.store.cancel_requested(requests) == {parse_id(running)}
        await own_redis.start()

        async def taken() -> list[str]:
            return [str(one.call.id) for one in await api.claim()]

        assert await eventually(taken, timeout_s=20) == [kept]
        assert (await call_of(api, queued))["status"] == "cancelled"


async def test_cancels_race_with_workers_to_one_end(api: ServedApi) -> None:
    """Many calls, each cancelled while a worker reserves, claims and ends what it gets: none has both, none is left."""
    path = await api.create_route()
    call_ids = [await api.submit(path) for _ in range(200)]
    ran: set[str] = set()

    async def work() -> None:
        few = replace(ROOMY, slots=3)
        incarnation = new_id()
        await api.store.register_worker(incarnation, "here", 1, 1024)
        while reservations := (await api.queue.reserve(few, incarnation)).reservations:
            requests = [ClaimRequest(id=taken.id, token=taken.token) for taken in reservations]
            claimed = await api.store.claim(requests, incarnation, 5)
            ran.update(str(one.call.id) for one in claimed)
            await api.settle(claimed)
            await api.queue.ack(reservations)

    async def client(mine: list[str]) -> dict[str, str]:
        found = {}
        for call_id in mine:
            answer = await api.ask("DELETE", f"{CALLS}/{call_id}")
            found[call_id] = answer.json["message"] if answer.status == 200 else "too late"
        return found

    random.shuffle(shuffled := list(call_ids))
    answers = await asyncio.gather(client(shuffled[:100]), client(shuffled[100:]), work(), work())
    found = {**answers[0], **answers[1]}
    assert len(found) == 200
    for call_id, said in found.items():
        status = (await call_of(api, call_id))["status"]
        if said == "Call cancelled":
            assert (status, call_id in ran) == ("cancelled", False)
        else:
            assert (status, call_id in ran) == ("success", True)
    assert {"Call cancelled", "too late"} <= set(found.values())
    assert (await api.queue.depth()).calls == 0


async def test_a_cancelled_call_whose_worker_is_lost_ends_without_another(
    alone: None, api: ServedApi
) -> None:
    """The queue has it ready, for its flag was lost."""
    call_id = await api.submit(await api.create_route())
    incarnation = new_id()
    await api.store.register_worker(incarnation, "here", 1, 1024)
    reservations = (await api.queue.reserve(ROOMY, incarnation)).reservations
    await api.store.claim([ClaimRequest(id=one.id, token=one.token) for one in reservations], incarnation, 5)
    database = api.store.get_database()
    await api.queue.release_incarnation(incarnation)
    assert (await api.queue.depth()).ready == (1, 0, 0)
    await database.execute("UPDATE calls SET cancel_requested_at = now()")
    rounds = rounds_of(api)
    await rounds.run_round()
    assert (await call_of(api, call_id))["status"] == "running", "its worker lives, as far as anybody knows"
    await api.store.remove_worker(incarnation)
    await rounds.run_round()
    call = await call_of(api, call_id)
    assert (call["status"], call["reason"]) == ("cancelled", "client_request")
    assert (await api.queue.depth()).calls == 0


@pytest.mark.parametrize("is_flushed", [False, True])
async def test_a_call_cancelled_while_its_worker_is_killed_never_runs_again(
    settings: Settings,
    own_redis: LocalRedis,
    admin: Redis,
    is_flushed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Maintenance, "start", lambda _maintenance: None)
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        call_id = await api.submit(await api.create_route())
        (claimed,) = await api.claim()
        worker = await api.store.get_workers(1, 1)
        await cancel(api, call_id)
        if is_flushed:
            await admin.flushall()
        await api.queue.release_incarnation(worker[0].incarnation)
        assert (await api.queue.depth()).calls == 0
        # Pushed again, as the reconciler does it with what is unfinished.
        await api.queue.push(
            [QueueEntry(id=claimed.call.id, order_no=1, priority=0, delay_ms=0, memory_mb=128)]
        )
        (again,) = await api.claim()
        assert (again.call.status, again.call.attempt) == (CallStatus.CANCELLED, 1)
        assert (await call_of(api, call_id))["status"] == "cancelled"


async def test_a_retry_is_a_new_call_that_names_its_parent(api: ServedApi) -> None:
    path = await api.create_route()
    old = await api.submit(path, b"in", Millrace_Priority="2", X_Key="value")
    await api.finish(old, b"out")
    await api.finish_all()
    await api.ask("DELETE", "/v1/apps/app/routes/hello")
    answer = await api.ask("POST", f"{CALLS}/{old}/retry")
    assert answer.status == 202
    new = answer.json["call_id"]
    assert answer.json == {"call_id": new, "parent_id": old}
    assert answer.headers["Location"] == f"{CALLS}/{new}"
    call = await call_of(api, new)
    assert (call["parent_id"], call["status"], call["priority"]) == (old, "queued", 2)
    assert "parent_id" not in await call_of(api, old)
    (claimed,) = await api.claim()
    assert str(claimed.call.id) == new
    assert (claimed.call.payload, claimed.call.headers["X-Key"]) == (b"in", ["value"])
    assert claimed.call.image == "fn/hello:1"
    assert b"millrace_calls_accepted_total 2.0" in (await api.get("/metrics")).body


async def test_only_what_ended_and_has_its_input_is_retried(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    answer = await api.ask("POST", f"{CALLS}/{call_id}/retry")
    assert (answer.status, answer.json["error"]["code"]) == (409, "call_not_final")
    assert answer.message == "Call is not final: its status is queued"
    await api.finish(call_id)
    await api.store.get_database().execute("DELETE FROM call_inputs")
    answer = await api.ask("POST", f"{CALLS}/{call_id}/retry")
    assert (answer.status, answer.json["error"]["code"]) == (409, "call_not_retriable")
    assert await api.rows() == 1


async def test_a_full_queue_takes_no_retries(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=2)) as api:
        path = await api.create_route()
        call_id = await api.submit(path)
        await cancel(api, call_id)
        api.app[ADMISSION]._read_at_s = 0  # else it goes by what it read a moment ago
        for _ in range(2):
            await api.submit(path)
        answer = await api.ask("POST", f"{CALLS}/{call_id}/retry")
        assert (answer.status, answer.json["error"]["code"]) == (503, "queue_full")
        assert "Retry-After" in answer.headers
        assert await api.rows() == 3
