"""Sync calls: what the function answers reaches its caller, nobody waits for ever, and each leaves a record."""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api import app, late_records, sync, waiting
from api.keys import BODIES
from api.sync_limit import SyncLimit
from common.errors import AppSyncCallsFullError, QueueUnavailableError
from common.models import CallStatus, QueueEntry, Reason, SyncTicket, new_id
from common.queue.base import Acked, Extension
from common.queue.redis import RedisQueue
from common.settings import Settings
from common.store.finished import FinishedRecorder
from deploy.local import LocalPostgres, LocalRedis
from tests.integration.api.served import Answer, ServedApi
from tests.integration.api.stand_in import StandIn, Taken, ended
from tests.polling import eventually

CALLS = "/v1/apps/app/calls"


@pytest.fixture
async def worker(api: ServedApi) -> StandIn:
    return StandIn(api.queue)


async def sync_route(api: ServedApi, **fields: Any) -> str:
    return await api.create_route(**{"type": "sync", **fields})


def asking(api: ServedApi, path: str, method: str = "POST", **options: Any) -> asyncio.Task[Answer]:
    return asyncio.create_task(api.ask(method, path, **options))


async def record_of(api: ServedApi, call_id: str) -> dict[str, Any]:
    """The call as shown, once it is recorded."""

    async def shown() -> Any:
        answer = await api.get(f"{CALLS}/{call_id}")
        return answer.json["call"] if answer.status == 200 else None

    record: dict[str, Any] = await eventually(shown)
    assert record["type"] == "sync"
    return record


async def calls_in_queue(api: ServedApi) -> int:
    return (await api.queue.depth()).calls


async def test_the_function_answers_with_its_status_headers_and_bytes(
    api: ServedApi, worker: StandIn
) -> None:
    """Fn's U-15."""
    path = await sync_route(
        api, headers={"X-Function": ["Test", "Two"], "X-Both": ["route"], "content-type": ["text/html"]}
    )
    answering = asking(api, path, data=b"x")
    taken = await worker.answer_next(
        result=bytes(range(256)),
        response_status=201,
        response_headers={
            "Content-Type": ["image/png"],
            "X-Both": ["a", "b"],
            "Content-Length": ["3"],
            "Connection": ["close"],
            "Fn_call_id": ["forged"],
            "Server": ["mine"],
        },
    )
    answer = await answering
    assert (answer.status, answer.body) == (201, bytes(range(256)))
    assert answer.headers.getall("Content-Type") == ["image/png"]
    assert answer.headers.getall("X-Function") == ["Test", "Two"]
    assert sorted(answer.headers.getall("X-Both")) == ["a", "b", "route"]
    assert answer.headers.getall("Fn_call_id") == [str(taken.call.id)]
    assert answer.headers.getall("Content-Length") == ["256"]
    assert answer.headers.getall("Server") == ["millrace"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Connection" not in answer.headers
    assert b'millrace_sync_calls_answered_total{status="201"} 1.0' in (await api.get("/metrics")).body
    assert await api.rows() == 0  # the worker records what it ran
    assert await calls_in_queue(api) == 0


def timings_of(answer: Answer) -> dict[str, float]:
    """The last Server-Timing of an answer, in ms."""
    parts = answer.headers.getall("Server-Timing")[-1].split(", ")
    return {name: float(dur) for name, dur in (part.split(";dur=") for part in parts)}


async def test_an_answer_says_what_took_how_long(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(api)
    answering = asking(api, path)
    taken = await worker.take()
    created_at = taken.call.created_at
    assert created_at is not None
    claimed_at, started_at = created_at + timedelta(seconds=1), created_at + timedelta(seconds=3)
    outcome = ended(started_at=started_at, response_headers={"Server-Timing": ["db;dur=1"], "X-A": ["1"]})
    outcome = replace(outcome, completed_at=started_at + timedelta(milliseconds=250.04))
    await worker.reply(taken, outcome, claimed_at)
    answer = await answering
    assert answer.headers.getall("Server-Timing")[0] == "db;dur=1", "the function's own stays"
    timings = timings_of(answer)
    total = timings.pop("total")
    assert timings == {"queue": 1000.0, "start": 2000.0, "run": 250.0}
    assert 0 < total < 2000


async def test_a_failed_answer_says_what_took_how_long_as_far_as_that_is_known(
    api: ServedApi, worker: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "WAIT_MIN_S", 0.3)
    path = await sync_route(api, timeout=1)
    answering = asking(api, path)
    taken = await worker.take()
    failed = ended(CallStatus.ERROR, reason=Reason.BAD_EXIT, started_at=datetime.now(UTC))
    await worker.reply(taken, failed)
    answer = await answering
    assert (answer.status, set(timings_of(answer))) == (502, {"run", "total"})
    unanswered = await api.ask("POST", path)
    assert unanswered.status == 503
    timings = timings_of(unanswered)
    assert timings["queue"] == timings["total"] >= 300


async def test_a_worker_gets_all_that_it_needs_from_the_queue(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(
        api,
        path="/deep/er",
        format="json",
        json_framing="line",
        body_encoding="base64",
        memory=256,
        timeout=99,
        idle_timeout=7,
        config={"K": "v"},
        writable_root=True,
    )
    answering = asking(api, f"{path}?q=%20x", "PUT", data=b"\xff\x00", headers={"X-Mine": "1"})
    taken = await worker.answer_next()
    await answering
    call = taken.call
    assert (call.payload, call.method, call.url) == (
        b"\xff\x00",
        "PUT",
        f"http://127.0.0.1:{api.port}/r/app/deep/er?q=%20x",
    )
    assert (call.app_name, call.path, call.image, call.type) == ("app", "/deep/er", "fn/hello:1", "sync")
    assert (call.format, call.json_framing, call.body_encoding) == ("json", "line", "base64")
    assert (call.memory, call.timeout, call.idle_timeout, call.writable_root) == (256, 99, 7, True)
    assert (call.base_env["K"], call.base_env["FN_TYPE"]) == ("v", "sync")
    assert call.headers["X-Mine"] == ["1"]
    assert call.created_at is not None
    assert await api.rows("route_revisions") == 0  # all of it is in the message
    assert taken.reservation.ticket is not None
    assert 40_000 < taken.reservation.ticket.ttl_ms <= 49_500  # half of the timeout, as Fn's


async def test_each_of_many_callers_gets_its_own_answer(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(api)
    answering = [asking(api, path, data=str(number).encode()) for number in range(200)]
    left = len(answering)
    while left:
        taken = await eventually(lambda: worker.take_up_to(50))
        left -= len(taken)
        for one in reversed(taken):
            assert one.call.payload is not None
            await worker.reply(one, ended(result=b"to " + one.call.payload))
    answers = await asyncio.gather(*answering)
    assert [answer.body for answer in answers] == [b"to %d" % number for number in range(200)]


async def test_replies_of_two_apis_do_not_mix(api: ServedApi, worker: StandIn, settings: Settings) -> None:
    path = await sync_route(api)
    async with ServedApi(settings) as other:
        answering = [asking(one, path, data=name) for one, name in ((api, b"first"), (other, b"second"))]
        for _ in answering:
            taken = await worker.take()
            await worker.reply(taken, ended(result=taken.call.payload))
        assert [answer.body for answer in await asyncio.gather(*answering)] == [b"first", b"second"]


async def test_a_failed_call_says_what_happened(api: ServedApi, worker: StandIn) -> None:
    """Fn's U-15: a failed call too has the route's headers."""
    path = await sync_route(api, headers={"X-Function": ["Test"]})
    answering = asking(api, path)
    taken = await worker.take()
    failed = ended(
        CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail="exit_code",
        error="container exit code 3",
        result=b"half of an answer",
    )
    await worker.reply(taken, failed)
    answer = await answering
    assert (answer.status, answer.headline) == (502, "container exit code 3")
    assert answer.json["error"]["code"] == "exit_code"
    assert answer.headers.getall("X-Function") == ["Test"]
    assert answer.headers.getall("Fn_call_id") == [str(taken.call.id)]


async def test_head_and_statuses_without_a_body_have_none(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(api)
    answering = asking(api, path, "HEAD")
    taken = await worker.answer_next(result=b"seen by nobody")
    answer = await answering
    assert (taken.call.method, answer.status, answer.body) == ("HEAD", 200, b"")
    assert answer.headers["Content-Length"] == "14"
    for status in (204, 304):
        answering = asking(api, path)
        await worker.answer_next(result=b"x", response_status=status)
        answer = await answering
        assert (answer.status, answer.body) == (status, b"")


async def test_a_call_that_no_worker_takes_is_refused_in_time_and_recorded(
    api: ServedApi, worker: StandIn
) -> None:
    """Fn's U-17; it keeps no record of such a call."""
    path = await sync_route(api, timeout=2)
    begun_s = time.monotonic()
    answer = await api.ask("POST", path)
    assert 1 <= time.monotonic() - begun_s < 2
    assert (answer.status, answer.headline) == (503, "Timed out - server too busy")
    assert answer.headers["Retry-After"] == "15"
    assert await worker.take_up_to(1) == []
    assert await calls_in_queue(api) == 0
    record = await record_of(api, answer.headers["Fn_call_id"])
    assert (record["status"], record["reason"], record["detail"]) == ("error", "killed", "no_capacity")
    assert (record["path"], record["attempt"]) == ("/hello", 0)


async def test_a_call_that_a_worker_took_is_not_refused_for_its_wait(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(api, timeout=2)
    answering = asking(api, path)
    taken = await worker.take()
    assert not (await asyncio.wait({answering}, timeout=1.6))[0]
    await worker.reply(taken, ended(result=b"late, but here"))
    assert (await answering).body == b"late, but here"


async def test_a_lost_worker_is_said_at_once_and_nobody_runs_the_call_again(
    api: ServedApi, worker: StandIn
) -> None:
    path = await sync_route(api)
    answering = asking(api, path)
    taken = await worker.take()
    begun_s = time.monotonic()
    await api.queue.release_incarnation(worker.incarnation)
    answer = await answering
    assert time.monotonic() - begun_s < 2
    assert (answer.status, answer.json["error"]["code"]) == (502, "worker_lost")
    assert await worker.take_up_to(1) == []
    assert await worker.reply(taken, ended()) is not Acked.ACKED
    record = await record_of(api, answer.headers["Fn_call_id"])
    assert (record["status"], record["reason"], record["detail"]) == ("error", "killed", "worker_lost")
    assert record["attempt"] == 1


async def begin(api: ServedApi, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" % path.encode())
    return reader, writer


async def test_a_caller_that_goes_away_takes_its_waiting_call_along(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(api)
    _, caller = await begin(api, path)

    async def is_queued() -> bool:
        return (await api.queue.depth()).ready_sync == 1

    await eventually(is_queued)
    caller.close()

    async def recorded() -> Any:
        return (await api.get(CALLS)).json["calls"]

    (record,) = await eventually(recorded)
    assert (record["status"], record["reason"], record["type"]) == ("cancelled", "client_request", "sync")
    assert await worker.take_up_to(1) == []


async def test_a_caller_that_goes_away_has_its_running_call_ended(api: ServedApi, worker: StandIn) -> None:
    path = await sync_route(api)
    _, caller = await begin(api, path)
    taken = await worker.take()
    caller.close()

    async def is_told() -> bool:
        return await api.queue.extend([taken.reservation]) == [Extension.CANCEL_REQUESTED]

    await eventually(is_told)
    killed = ended(CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST)
    assert await worker.reply(taken, killed) is Acked.ACKED
    assert await api.rows() == 0  # its worker records it


async def test_an_answer_that_never_comes_is_not_waited_for(
    settings: Settings, own_redis: LocalRedis, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ANSWER_SLACK_S", -1.5)
    async with ServedApi(replace(settings, redis_url=own_redis.url, start_timeout_s=0.5)) as api:
        path = await sync_route(api, timeout=1)
        answering = asking(api, path)

        async def is_queued() -> bool:
            return await calls_in_queue(api) == 1

        await eventually(is_queued)
        await admin.flushall()
        answer = await answering
        assert (answer.status, answer.headline) == (504, "Timed out")
        record = await record_of(api, answer.headers["Fn_call_id"])
        assert (record["status"], record["reason"]) == ("error", "timeout")


async def test_an_api_that_ends_tells_callers_whether_their_calls_were_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may ask again is told so; what a worker has goes on, and its record says that its caller was not answered."""
    monkeypatch.setattr(app, "WORKER_REPLY_S", 0.2)
    queue = RedisQueue.open(settings)
    worker = StandIn(queue)
    async with ServedApi(replace(settings, drain_s=1)) as api:
        path = await sync_route(api)
        answered = asking(api, path)
        taken = await worker.take()
        running = await begin(api, path)
        left = await worker.take()
        waiting_ = await begin(api, path)

        async def is_queued() -> bool:
            return (await queue.depth()).ready_sync == 1

        await eventually(is_queued)
        ending = asyncio.create_task(api.end())
        assert not (await asyncio.wait({ending}, timeout=0.3))[0], "it waits for what it can answer"
        await worker.reply(taken, ended(result=b"in time"))
        assert (await answered).body == b"in time"
        async with asyncio.timeout(10):
            heads = [(await reader.read()).lower() for reader, _ in (running, waiting_)]
            await ending
    assert [head[:13] for head in heads] == [b"http/1.1 502 ", b"http/1.1 503 "]
    assert [b"retry-after" in head for head in heads] == [False, True]
    assert [code in head for code, head in zip((b"api_ended", b"shutting_down"), heads, strict=True)] == [
        True
    ] * 2
    for _, writer in (running, waiting_):
        writer.close()
    assert await queue.extend([left.reservation]) == [Extension.HELD], "it runs on"
    assert await worker.take_up_to(1) == []
    assert await worker.reply(left, ended()) is Acked.UNHEARD
    await queue.aclose()
    async with ServedApi(settings) as api:
        (record,) = (await api.get(CALLS)).json["calls"]
        assert (record["status"], record["detail"], record["attempt"]) == ("error", "shutting_down", 0)


@pytest.mark.parametrize("became", ["running", "waiting", "lost", "ended"])
async def test_a_push_that_was_not_confirmed_is_refused_only_if_the_call_never_runs(
    api: ServedApi, worker: StandIn, monkeypatch: pytest.MonkeyPatch, became: str
) -> None:
    monkeypatch.setattr(waiting, "DOUBT_S", 0.5)
    path = await sync_route(api)
    push, pushed = api.queue.push, list[QueueEntry]()
    taken: list[Taken] = []

    async def unconfirmed(entries: Sequence[QueueEntry], generation: int | None = None) -> int:
        pushed.extend(entries)
        if became != "lost":
            await push(entries, generation)
        if became in ("running", "ended"):
            taken.append(await worker.take())
        if became == "ended":
            await api.queue.ack([taken[0].reservation])  # its reply was lost with the connection
        raise QueueUnavailableError

    monkeypatch.setattr(api.queue, "push", unconfirmed)
    answering = asking(api, path)
    if became == "running":
        assert not (await asyncio.wait({answering}, timeout=1))[0]
        await worker.reply(taken[0], ended(result=b"once"))
        assert ((await answering).status, (await answering).body) == (200, b"once")
        return
    answer = await answering
    expected = (502, "push_unconfirmed", False) if became == "ended" else (503, "queue_unavailable", True)
    assert (answer.status, answer.json["error"]["code"], "Retry-After" in answer.headers) == expected
    assert await push(pushed) == 0, "the push that comes late starts nothing"
    assert await worker.take_up_to(1) == []


async def test_the_record_is_there_when_the_answer_is(
    api: ServedApi, worker: StandIn, settings: Settings
) -> None:
    """Whichever api process is asked: until it is there, the request waits."""
    path = await sync_route(api)
    answering = asking(api, path)
    taken = await worker.take()
    call_id = taken.call.id
    for url in (f"{CALLS}/{call_id}", f"{CALLS}/{call_id}/result", f"/v1/calls/{call_id}"):
        running = await api.get(url)
        assert (running.status, running.json["error"]["code"]) == (503, "record_pending"), url
        assert running.headers["Retry-After"] == "1"
    recorder = FinishedRecorder(api.store)
    async with ServedApi(settings) as other:
        outcome = ended(log=b"said")
        await worker.reply(taken, outcome)
        await answering
        asked = [
            asyncio.create_task(one.get(f"{CALLS}/{call_id}{what}"))
            for one in (api, other)
            for what in ("", "/log", "?wait=1")
        ]
        found = asyncio.create_task(other.get(f"/v1/calls/{call_id}"))
        result = asyncio.create_task(other.get(f"{CALLS}/{call_id}/result"))
        recorder.add(taken.call, outcome)
        assert [(await one).status for one in (*asked, found)] == [200] * 7
        assert (await result).json["error"]["code"] == "call_result_not_found", "sync calls leave none"
        assert (await other.get(f"/v1/apps/another/calls/{call_id}")).status == 404
    await recorder.aclose()


async def test_a_record_that_does_not_come_is_said_to_be_late(
    api: ServedApi, worker: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_records, "PATIENCE_S", 0.2)
    answering = asking(api, await sync_route(api))
    taken = await worker.answer_next()
    await answering
    for what in ("", "/log", "/events", "?wait=1", "/log?follow=1"):
        answer = await api.get(f"{CALLS}/{taken.call.id}{what}")
        assert (answer.status, answer.json["error"]["code"]) == (503, "record_pending"), what
    assert (await api.get(f"{CALLS}/{new_id()}")).status == 404


async def test_replies_to_an_api_that_is_gone_are_forgotten(
    settings: Settings, own_redis: LocalRedis, admin: Redis
) -> None:
    settings = replace(settings, redis_url=own_redis.url)
    queue = RedisQueue.open(settings)
    worker = StandIn(queue)
    async with ServedApi(settings) as api:
        path = await sync_route(api)
        abandoned = asking(api, path)
        taken = await worker.take()
        abandoned.cancel()
        await asyncio.wait({abandoned})
    before: Any = await admin.keys()
    assert await worker.reply(taken, ended()) is Acked.ACKED
    keys: Any = await admin.keys()
    left = [key for key in keys if key not in before]
    assert {key.rpartition(b"}:")[2].partition(b":")[0] for key in left} == {b"replies", b"ended"}
    (replies,) = (key for key in left if b":replies:" in key)
    assert 0 < await admin.pttl(replies) <= 60_000
    async with ServedApi(settings) as api:
        answering = asking(api, path)
        await worker.answer_next(result=b"for the new one")
        assert (await answering).body == b"for the new one"
    await queue.aclose()


async def test_a_call_that_cannot_be_read_is_buried(api: ServedApi) -> None:
    ticket = SyncTicket(reply_to=new_id(), ttl_ms=1, message=b"\xc1")
    await api.queue.push(
        [QueueEntry(id=new_id(), order_no=0, priority=0, delay_ms=0, memory_mb=1, ticket=ticket)]
    )

    async def is_empty() -> bool:
        await api.queue.maintain()
        return await calls_in_queue(api) == 0

    await eventually(is_empty)
    assert await api.rows() == 0


async def test_a_caller_may_prefer_the_async_way(api: ServedApi) -> None:
    path = await sync_route(api)
    for prefer in ("respond-async", "wait=5, Respond-Async; x=y"):
        headers = {"Prefer": prefer, "Millrace-Priority": "2"}
        answer = await api.ask("POST", path, data=b"x", headers=headers)
        assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
        shown = (await api.get(f"{CALLS}/{answer.json['call_id']}")).json["call"]
        assert (shown["type"], shown["status"], shown["priority"]) == ("async", "queued", 2)
    depth = await api.queue.depth()
    assert (depth.ready, depth.ready_sync) == ((0, 0, 2), 0)


@pytest.mark.parametrize("header", ["Millrace-Priority", "Millrace-Delay"])
async def test_what_a_sync_call_can_not_have_is_refused(api: ServedApi, header: str) -> None:
    answer = await api.ask("POST", await sync_route(api), headers={header: "1"})
    assert (answer.status, answer.json["error"]["fields"]) == (400, header)
    assert await calls_in_queue(api) == 0


async def test_an_oversized_body_is_no_call(settings: Settings) -> None:
    async with ServedApi(replace(settings, body_max_bytes=1000)) as api:
        answer = await api.ask("POST", await sync_route(api), data=b"x" * 1001)
        assert answer.status == 413
        assert await calls_in_queue(api) == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_body_that_json_can_not_carry_is_refused_unless_it_goes_as_base64(
    api: ServedApi, kind: str
) -> None:
    path = await api.create_route(type=kind, format="json")
    answer = await api.ask("POST", path, data=b"\xff")
    assert (answer.status, answer.json["error"]["code"]) == (415, "body_not_text")
    assert (await calls_in_queue(api), await api.rows()) == (0, 0)
    await api.ask("PATCH", "/v1/apps/app/routes/hello", json={"route": {"body_encoding": "base64"}})
    answer = await api.ask("POST", path, data=b"\xff", headers={"Prefer": "respond-async"})
    assert answer.status == 202


async def test_a_waiting_call_holds_no_body(api: ServedApi, worker: StandIn) -> None:
    answering = asking(api, await sync_route(api), data=b"x" * 100_000)
    taken = await worker.take()
    await eventually(lambda: api.app[BODIES].held_bytes == 0)
    await worker.reply(taken, ended())
    assert (await answering).status == 200


async def test_a_full_queue_refuses(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=1)) as api:
        path = await sync_route(api)
        first = asking(api, path)
        worker = StandIn(api.queue)
        taken = await worker.take()
        answer = await api.ask("POST", path)
        assert (answer.status, answer.headline) == (503, "Queue is full")
        assert answer.headers["Retry-After"] == "15"
        await worker.reply(taken, ended())
        assert (await first).status == 200
        assert await api.rows() == 0


async def test_a_queue_that_is_away_refuses_until_it_is_back(
    settings: Settings, own_redis: LocalRedis
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        path = await sync_route(api)
        worker = StandIn(api.queue)
        await own_redis.stop()
        answer = await api.ask("POST", path)
        assert (answer.status, answer.json["error"]["code"]) == (503, "queue_unavailable")
        assert await api.rows() == 0
        await own_redis.start()

        async def is_ready() -> bool:
            return (await api.get("/readyz")).status == 200

        await eventually(is_ready, timeout_s=20)
        answering = asking(api, path)
        await worker.answer_next(result=b"back")
        assert (await answering).body == b"back"


async def test_a_record_waits_for_a_store_that_is_away(
    settings: Settings, own_postgres: LocalPostgres
) -> None:
    async with ServedApi(replace(settings, database_url=own_postgres.url)) as api:
        answering = asking(api, await sync_route(api, timeout=6))

        async def is_queued() -> bool:
            return await calls_in_queue(api) == 1

        await eventually(is_queued)
        await own_postgres.stop()
        answer = await answering
        assert answer.status == 503
        await own_postgres.start()

        async def is_back() -> bool:
            return (await api.get("/readyz")).status == 200

        await eventually(is_back, timeout_s=20)
        assert (await record_of(api, answer.headers["Fn_call_id"]))["detail"] == "no_capacity"


async def test_an_app_has_a_number_of_sync_calls_under_way(settings: Settings) -> None:
    async with ServedApi(replace(settings, app_max_sync_calls=2)) as api:
        worker = StandIn(api.queue)
        path = await sync_route(api)
        other = await api.create_route("other", type="sync")
        waiting = [asking(api, path) for _ in range(2)]
        taken = [await worker.take() for _ in range(2)]
        answer = await api.ask("POST", path)
        assert (answer.status, answer.json["error"]["code"]) == (429, "app_sync_calls_full")
        assert (
            "2 sync calls of the app are under way, and 2 may be (MILLRACE_APP_MAX_SYNC_CALLS)"
            in answer.message
        )
        assert answer.headers["Retry-After"] == "1"
        of_other = asking(api, other)
        await worker.answer_next()
        assert (await of_other).status == 200
        await worker.reply(taken[0], ended())
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting.append(asking(api, path))
        await worker.answer_next()
        await worker.reply(taken[1], ended())
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 3


async def test_more_slots_let_an_app_have_more_sync_calls_under_way(api: ServedApi) -> None:
    limit = SyncLimit(api.store, 0)
    with pytest.raises(AppSyncCallsFullError, match="256 may be"):
        limit.check(256)
    await api.store.register_worker(new_id(), "here", 100, 1)
    limit._read_at_s = -math.inf

    async def has_more() -> bool:
        try:
            limit.check(1599)
        except AppSyncCallsFullError:
            return False
        return True

    await eventually(has_more)
    with pytest.raises(AppSyncCallsFullError):
        limit.check(1600)
    await limit.aclose()
