"""Following a call: its end is waited for, its transitions are heard of, and nobody who follows is left behind."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import aiohttp
import pytest
from msgspec.structs import replace

from api import dead_letters, following
from api.handlers import follow
from api.keys import FOLLOWING
from common.models import CallStatus, new_id
from common.settings import Settings
from common.store.base import Claimed, ClaimRequest, Settlement
from deploy.local import LocalPostgres, LocalRedis
from tests.integration.api.served import ROOMY, Answer, ServedApi, an_outcome
from tests.polling import eventually

CALLS = "/v1/apps/app/calls"
SOON_S = 2.0  # much less than the 5 s after which every followed call is read again


class Followed(NamedTuple):
    """A call of an api, and what a worker does to it."""

    api: ServedApi
    id: str

    @property
    def path(self) -> str:
        return f"{CALLS}/{self.id}"

    async def claim(self) -> Claimed:
        (claimed,) = await self.api.claim()
        await self.announce()
        return claimed

    async def settle(self, claimed: Claimed, *, announced: bool = True, **fields: Any) -> None:
        outcome = replace(an_outcome(b"out", b"", well=True), **fields)
        settlement = Settlement(id=claimed.call.id, token=claimed.token, outcome=outcome)
        assert await self.api.store.settle([settlement]) == {claimed.call.id}
        if announced:
            await self.announce()

    async def announce(self) -> None:
        await self.api.queue.announce([UUID(self.id)])

    def waiting(self, wait_s: float = 30) -> asyncio.Task[Answer]:
        return asyncio.create_task(self.api.get(f"{self.path}?wait={wait_s:g}"))

    async def has_followers(self, count: int) -> None:
        await eventually(lambda: self.api.app[FOLLOWING].count == count)


async def a_call(api: ServedApi, delay_s: int = 0) -> Followed:
    return Followed(api, await api.submit(await api.create_route(), Millrace_Delay=str(delay_s)))


@pytest.fixture
async def call(api: ServedApi) -> Followed:
    return await a_call(api)


def status_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    status: str = answer.json["call"]["status"]
    return status


# -- waiting for the end ---------------------------------------------------------------------------------------------


async def test_who_waits_hears_of_the_end_at_once(call: Followed) -> None:
    waiting = call.waiting()
    await call.has_followers(1)
    claimed = await call.claim()
    await call.settle(claimed)
    async with asyncio.timeout(SOON_S):
        answer = await waiting
    assert answer.json["message"] == "Successfully loaded call"
    assert status_of(answer) == "success"
    assert answer.json["call"] == (await call.api.get(call.path)).json["call"]
    await call.has_followers(0)


async def test_a_final_call_is_answered_at_once(call: Followed) -> None:
    await call.settle(await call.claim())
    begun_s = time.monotonic()
    assert status_of(await call.api.get(f"{call.path}?wait=60")) == "success"
    assert time.monotonic() - begun_s < SOON_S


@pytest.mark.parametrize("wait_s", [0.3, 0.001])
async def test_who_waits_in_vain_gets_the_call_as_it_is_then(call: Followed, wait_s: float) -> None:
    waiting, begun_s = call.waiting(wait_s), time.monotonic()
    await call.api.claim()  # not announced
    assert status_of(await waiting) in ("queued", "running")
    assert wait_s <= time.monotonic() - begun_s < wait_s + SOON_S
    assert status_of(await call.waiting(wait_s)) == "running"


@pytest.mark.parametrize(
    "wait", ["-1", "61", "60.001", "nan", "inf", "1e1", "", "x", "1_0", "0x1", "%D9%A3", "1,5", "+1", "5s"]
)
async def test_a_bad_wait_is_refused_by_its_name(call: Followed, wait: str) -> None:
    answer = await call.api.get(f"{call.path}?wait={wait}")
    assert (answer.status, answer.json["error"]["fields"]) == (400, "wait")
    assert answer.json["error"]["code"] == "wait_invalid"
    assert "0 and 60" in answer.message


@pytest.mark.parametrize("wait", ["0", "0.0", ".01", "0.010", "00"])
async def test_a_short_wait_is_one(call: Followed, wait: str) -> None:
    assert status_of(await call.api.get(f"{call.path}?wait={wait}")) == "queued"


async def test_what_is_no_call_of_the_app_is_not_waited_for(call: Followed) -> None:
    await call.api.create_route("other")
    for path in (f"{CALLS}/{new_id()}", f"/v1/apps/other/calls/{call.id}", f"{CALLS}/x"):
        for suffix, message in (
            ("?wait=30", "Call not found"),
            ("/events", "Call not found"),
            ("/log?follow=1", "Call log not found"),
        ):
            async with asyncio.timeout(SOON_S):
                answer = await call.api.get(path + suffix)
            assert (answer.status, answer.headline) == (404, message)
    await call.has_followers(0)


async def test_200_who_wait_for_one_call_are_woken_at_once_by_one_read(
    call: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    call.api.http.connector._limit = 0  # type: ignore[union-attr]
    waiting = [call.waiting() for _ in range(200)]
    await call.has_followers(200)
    claimed = await call.claim()
    reads: list[int] = []
    read = type(call.api.store).get_calls_by_id

    async def counted(store: Any, ids: list[UUID]) -> Any:
        reads.append(len(ids))
        return await read(store, ids)

    monkeypatch.setattr(type(call.api.store), "get_calls_by_id", counted)
    begun_s = time.monotonic()
    await call.settle(claimed)
    answers = await asyncio.gather(*waiting)
    assert time.monotonic() - begun_s < SOON_S
    assert {status_of(answer) for answer in answers} == {"success"}
    assert len(reads) <= 3, "one for the announcement; the net may add some"
    await call.has_followers(0)


async def test_without_redis_the_end_is_found_by_reading_again(
    settings: Settings, own_redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "REREAD_S", 1.0)
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        call = await a_call(api)
        claimed = await call.claim()
        waiting = call.waiting()
        events = asyncio.create_task(api.get(f"{call.path}/events"))
        await call.has_followers(2)
        await own_redis.stop()
        await call.settle(claimed, announced=False)
        async with asyncio.timeout(following.REREAD_S + SOON_S):
            assert status_of(await waiting) == "success"
            assert [event["status"] for event in events_of((await events).body)][-1] == "success"
        await own_redis.start()


async def test_who_waits_for_a_call_that_is_given_up_hears_of_it(call: Followed) -> None:
    waiting, incarnation = call.waiting(), new_id()
    await call.has_followers(1)
    for _ in range(10):
        await call.api.queue.reserve(ROOMY, incarnation)
        await call.api.queue.release_incarnation(incarnation)
    async with asyncio.timeout(dead_letters.PAUSE_S + SOON_S):
        answer = await waiting
    assert (status_of(answer), answer.json["call"]["detail"]) == ("error", "too_many_attempts")


async def test_who_waits_for_a_call_that_is_cancelled_hears_of_it(call: Followed) -> None:
    waiting, events = call.waiting(), asyncio.create_task(call.api.get(f"{call.path}/events"))
    await call.has_followers(2)
    assert (await call.api.ask("DELETE", call.path)).status == 200
    async with asyncio.timeout(SOON_S):
        assert status_of(await waiting) == "cancelled"
        assert [event["status"] for event in events_of((await events).body)] == ["queued", "cancelled"]


async def test_who_follows_a_call_whose_app_is_deleted_hears_of_it(call: Followed) -> None:
    waiting, log = call.waiting(), asyncio.create_task(call.api.get(f"{call.path}/log?follow=1"))
    await call.has_followers(2)
    assert (await call.api.ask("DELETE", "/v1/apps/app")).status == 200
    async with asyncio.timeout(SOON_S):
        answer = await waiting
        with pytest.raises(aiohttp.ClientError):  # it breaks off: there is no end of that log
            await log
    assert (answer.status, answer.headline) == (404, "Call not found")


# -- bounds ----------------------------------------------------------------------------------------------------------


async def open_raw(api: ServedApi, path: str, receive_bytes: int = 0) -> socket.socket:
    """A connection on which this was asked and nothing is read."""
    raw = socket.socket()
    raw.setblocking(False)
    if receive_bytes:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", api.port))
    await loop.sock_sendall(raw, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
    return raw


@pytest.mark.parametrize("suffix", ["?wait=60", "/events", "/log?follow=1"])
async def test_who_goes_away_follows_no_longer(call: Followed, suffix: str) -> None:
    clients = [await open_raw(call.api, call.path + suffix) for _ in range(20)]
    await call.has_followers(20)
    for client in clients:
        client.close()
    await call.has_followers(0)


@pytest.mark.parametrize("suffix", ["?wait=60", "/events", "/log?follow=1"])
async def test_one_follower_too_many_is_told_to_come_later(call: Followed, suffix: str) -> None:
    shares = call.api.app[FOLLOWING].shares
    shares.total, shares.reserve = 4, 0
    waiting = [call.waiting(), call.waiting()]
    await call.has_followers(2)
    answer = await call.api.get(call.path + suffix)
    assert (answer.status, answer.json["error"]["code"]) == (503, "too_many_followers")
    assert "this client holds 2 of 4 followers, all clients 2" in answer.message
    assert answer.headers["Retry-After"]
    assert status_of(await call.api.get(call.path)) == "queued"
    assert b"millrace_followers 2.0" in (await call.api.get("/metrics")).body
    await call.settle(await call.claim())
    for answer in await asyncio.gather(*waiting):
        assert status_of(answer) == "success"
    assert (await call.api.get(call.path + suffix)).status == 200


async def test_one_token_leaves_followers_to_others_and_some_to_management(call: Followed) -> None:
    api = call.api
    shares = api.app[FOLLOWING].shares
    shares.total, shares.reserve = 8, 4
    admin = api.secret = await api.create_token()
    tokens = [await api.create_token("invoke", "app") for _ in range(2)]

    async def follows(secret: str) -> bool:
        count = api.app[FOLLOWING].count
        asked = asyncio.create_task(
            api.get(call.path + "?wait=30", headers={"Authorization": f"Bearer {secret}"})
        )
        waiting.append(asked)
        await eventually(lambda: asked.done() or api.app[FOLLOWING].count > count)
        return not asked.done()

    waiting: list[asyncio.Task[Answer]] = []
    assert [await follows(tokens[0]) for _ in range(5)] == [True] * 4 + [False]
    assert not await follows(tokens[1])  # the rest is for management
    assert await follows(admin)
    await call.settle(await call.claim())
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 4 + [503] * 2 + [200]


async def test_who_may_ask_no_longer_follows_no_longer(call: Followed) -> None:
    api, events = call.api, f"{call.path}/events"
    async with reading(api, events) as reply:
        await next_event(reply)
        api.secret = await api.create_token()
        assert await asyncio.wait_for(reply.content.read(), SOON_S) == b""
    answer = await api.post("/v1/tokens", {"name": "short-lived", "scope": "invoke", "app": "app"})
    shown = {"Authorization": f"Bearer {answer.json['token']}"}
    keeps = {"Authorization": f"Bearer {api.secret}"}
    async with reading(api, events, **shown) as reply, reading(api, events, **keeps) as kept:
        await next_event(reply)
        await next_event(kept)
        await api.ask("DELETE", f"/v1/tokens/{answer.json['id']}")
        assert await asyncio.wait_for(reply.content.read(), SOON_S) == b""
        await call.has_followers(1)
        await call.settle(await call.claim())
        assert (await next_event(kept))["status"] in ("running", "success")


async def test_a_process_that_ends_sends_its_followers_away(settings: Settings) -> None:
    async with ServedApi(settings) as api:
        call = await a_call(api)
        await call.claim()
        waiting = call.waiting(60)
        async with (
            reading(api, f"{call.path}/events") as events,
            reading(api, f"{call.path}/log?follow=1") as log,
        ):
            assert (await next_event(events))["status"] == "running"
            await call.has_followers(3)
            async with asyncio.timeout(SOON_S):
                await api._runner.cleanup()
            assert status_of(await waiting) == "running"
            assert await events.content.read() == b""
            with pytest.raises(aiohttp.ClientPayloadError):  # not the whole log
                await log.read()


async def test_a_client_that_reads_nothing_is_given_up(
    call: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.streams.WRITE_S", 0.3)
    await call.settle(await call.claim(), log=b"x" * (20 * 1024 * 1024))
    client = await open_raw(call.api, f"{call.path}/log?follow=1", receive_bytes=4096)
    await call.has_followers(1)
    await call.has_followers(0)
    client.close()


async def test_a_store_that_goes_away_ends_no_follower(
    settings: Settings, own_postgres: LocalPostgres
) -> None:
    async with ServedApi(replace(settings, database_url=own_postgres.url)) as api:
        call = await a_call(api)
        claimed = await call.claim()
        waiting = call.waiting(60)
        log = asyncio.create_task(api.get(f"{call.path}/log?follow=1"))
        await call.has_followers(2)
        await own_postgres.stop()
        await call.announce()
        await eventually(lambda: api.app[FOLLOWING]._outage.is_on)
        await own_postgres.start()

        async def is_back() -> bool:
            return (await api.get(call.path)).status == 200

        await eventually(is_back)
        await call.settle(claimed, log=b"the log")
        assert status_of(await waiting) == "success"
        assert (await log).body == b"the log"


# -- transitions -----------------------------------------------------------------------------------------------------


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The calls of the events of a stream."""
    assert body.endswith(b"\n\n")
    calls = []
    for block in body.decode().strip().split("\n\n"):
        if block.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        call = json.loads(fields["data"])
        assert fields == {
            "event": "status",
            "id": f"{call['attempt']}-{call['status']}",
            "data": fields["data"],
        }
        calls.append(call)
    return calls


@asynccontextmanager
async def reading(api: ServedApi, path: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with api.http.get(path, headers=headers) as reply:
        assert reply.status == 200
        yield reply


async def next_block(reply: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(SOON_S):
        return await reply.content.readuntil(b"\n\n")


async def next_event(reply: aiohttp.ClientResponse) -> dict[str, Any]:
    (call,) = events_of(await next_block(reply))
    return call


async def test_each_transition_is_an_event_and_the_final_one_the_last(call: Followed) -> None:
    async with reading(call.api, f"{call.path}/events") as reply:
        assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["X-Request-Id"]
        assert reply.headers.getall("Server") == ["millrace"]
        assert (await next_event(reply))["status"] == "queued"
        first = await call.claim()
        assert (await next_event(reply))["status"] == "running"
        await call.announce()  # of what changes no status
        await call.api.store.release(
            [ClaimRequest(id=UUID(call.id), token=first.token)], give_back_attempt=False
        )
        await call.announce()
        assert (await next_event(reply))["status"] == "queued"
        request = ClaimRequest(id=UUID(call.id), token=first.token + 1)
        (second,) = await call.api.store.claim([request], new_id(), 5)
        await call.announce()
        running = await next_event(reply)
        assert (running["status"], running["attempt"]) == ("running", 2)
        await call.settle(second)
        last = await next_event(reply)
        assert last == (await call.api.get(call.path)).json["call"]
        async with asyncio.timeout(SOON_S):
            assert await reply.content.read() == b""
    await call.has_followers(0)


async def test_a_final_call_is_one_event_and_who_has_seen_it_is_told_to_stop(call: Followed) -> None:
    await call.settle(await call.claim())
    answer = await call.api.get(f"{call.path}/events")
    assert [event["status"] for event in events_of(answer.body)] == ["success"]
    again = await call.api.get(f"{call.path}/events", headers={"Last-Event-ID": "1-running"})
    assert again.body == answer.body
    seen = await call.api.get(f"{call.path}/events", headers={"Last-Event-ID": "1-success"})
    assert (seen.status, seen.body) == (204, b"")


async def test_a_quiet_stream_is_kept_alive(call: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE_S", 0.2)
    async with reading(call.api, f"{call.path}/events") as reply:
        assert (await next_event(reply))["status"] == "queued"
        for _ in range(3):
            assert await next_block(reply) == b": keep-alive\n\n"
        await call.settle(await call.claim())
        rest = await reply.content.read()
    assert events_of(rest)[-1]["status"] == "success"


async def test_a_delayed_call_that_falls_due_is_an_event(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "REREAD_S", 1.0)
    call = await a_call(api, delay_s=1)
    async with reading(api, f"{call.path}/events") as reply:
        assert (await next_event(reply))["status"] == "delayed"
        async with asyncio.timeout(1 + following.REREAD_S + SOON_S):
            assert events_of(await reply.content.readuntil(b"\n\n"))[0]["status"] == "queued"


# -- lists -----------------------------------------------------------------------------------------------------------


async def test_calls_are_listed_by_status(api: ServedApi) -> None:
    path = await api.create_route()
    done = await api.submit(path)
    await api.finish(done)
    delayed = await api.submit(path, Millrace_Delay="60")
    queued = await api.submit(path)

    async def listed(query: str) -> list[str]:
        answer = await api.get(f"{CALLS}?{query}")
        assert answer.status == 200, answer.body
        return [call["id"] for call in answer.json["calls"]]

    assert await listed("status=queued") == [queued]
    assert await listed("status=delayed,success") == [delayed, done]
    assert await listed("status=") == [queued, delayed, done]
    assert await listed("status=queued&path=/other") == []
    answer = await api.get(f"{CALLS}?status=delayed,success&per_page=1")
    assert await listed(f"status=delayed,success&per_page=1&cursor={answer.json['next_cursor']}") == [done]


@pytest.mark.parametrize("status", ["x", "queued,", ",", "Queued", "queued%20", "queued,x", "%00"])
async def test_an_unknown_status_is_refused_by_its_name(api: ServedApi, status: str) -> None:
    answer = await api.get(f"{CALLS}?status={status}")
    assert (answer.status, answer.json["error"]["fields"]) == (400, "status")
    assert all(name in answer.message for name in CallStatus)
