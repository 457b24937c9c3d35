"""Clients that close their sending side, and those that go away: the first are answered, the others are found out."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import NamedTuple

import pytest
import uvloop

from api import following, half_closed
from api.keys import FOLLOWING
from common.models import CallStatus, Reason
from common.queue.base import Acked, Extension
from common.settings import Settings
from tests.integration.api.served import ServedApi
from tests.integration.api.stand_in import StandIn, ended
from tests.polling import eventually

HOST = b" HTTP/1.1\r\nHost: localhost\r\n"


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}  # the tests' and the process's
Scene = Callable[[ServedApi], Coroutine[None, None, None]]
In = Callable[[Scene], None]


@pytest.fixture(params=LOOPS)
def play(request: pytest.FixtureRequest, settings: Settings) -> In:
    """Run a scene with an api on each kind of loop: they tell differently that a client has ended."""

    async def played(scene: Scene) -> None:
        async with ServedApi(settings) as api:
            await scene(api)

    def run(scene: Scene) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(played(scene))

    return run


async def said(api: ServedApi, request: bytes) -> bytes:
    """All that is answered to a client that closes its sending side at once; the api closes its own in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(request)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


def post(path: str, body: bytes = b"") -> bytes:
    return b"POST " + path.encode() + HOST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def test_async_requests_are_all_answered(play: In, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are answered before the api finds out whether their client is there get no interim answer."""
    monkeypatch.setattr(half_closed, "PROBE_AFTER_S", 30)

    async def scene(api: ServedApi) -> None:
        answers = await said(api, post(await api.create_route(), b"a") * 5)
        assert answers.count(b"HTTP/1.1 202") == 5
        assert answers.count(b"Connection: close") == 1
        assert b"100 Continue" not in answers
        for call_id in [
            json.loads(line)["call_id"] for line in answers.splitlines() if line.startswith(b"{")
        ]:
            assert (await api.get(f"/v1/apps/app/calls/{call_id}")).status == 200
        assert await api.rows() == 5

    play(scene)


def test_a_sync_call_is_answered_however_long_it_takes(play: In, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gets meanwhile is an interim answer, which HTTP clients skip; one of HTTP/1.0 does not know them."""
    monkeypatch.setattr(half_closed, "PROBE_AFTER_S", 0.1)
    monkeypatch.setattr(half_closed, "LOOK_PAUSE_S", 0.1)

    async def scene(api: ServedApi) -> None:
        path, worker = await api.create_route(type="sync"), StandIn(api.queue)
        for request, interim in (
            (post(path), b"HTTP/1.1 100 Continue\r\n\r\n"),
            (post(path).replace(b"HTTP/1.1", b"HTTP/1.0"), b""),
        ):
            asking = asyncio.create_task(said(api, request))
            taken = await worker.take()
            assert not (await asyncio.wait({asking}, timeout=1))[0]
            assert await worker.reply(taken, ended(result=b"late")) is Acked.ACKED
            answer = await asking
            assert answer.startswith(interim)
            head, _, body = answer.removeprefix(interim).partition(b"\r\n\r\n")
            assert head.split(b"\r\n")[0].endswith(b" 200 OK")
            assert body == b"late"

    play(scene)


def test_a_caller_that_has_gone_is_found_out(play: In) -> None:
    async def scene(api: ServedApi) -> None:
        path, worker = await api.create_route(type="sync"), StandIn(api.queue)
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(post(path))
        taken = await worker.take()
        writer.close()

        async def is_told() -> bool:
            return await api.queue.extend([taken.reservation]) == [Extension.CANCEL_REQUESTED]

        await eventually(is_told)
        await worker.reply(taken, ended(CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST))
        await eventually(lambda: api.connections == 1)  # the test's own client

    play(scene)


async def test_a_follower_is_served_to_the_end(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "REREAD_S", 0.2)
    call_id = await api.submit(await api.create_route())
    asking = b"GET /v1/apps/app/calls/" + call_id.encode() + b"/events" + HOST + b"\r\n"
    answer = asyncio.create_task(said(api, asking))
    await eventually(lambda: api.app[FOLLOWING].count == 1)
    await api.finish(call_id)
    assert b'"status":"success"' in await answer


class Half(NamedTuple):
    request: bytes
    code: str


HALVES = [
    Half(b"GET /v1/app", "http_malformed"),
    Half(b"GET /v1/apps" + HOST, "http_malformed"),
    Half(b"GET /v1/apps" + HOST + b"Accept: */*\r\nX-Ha", "http_malformed"),
    Half(b"POST /r/app/hello" + HOST + b"Content-Length: 10\r\n\r\nabc", "invalid_payload"),
    Half(b"POST /r/app/hello" + HOST + b"Transfer-Encoding: chunked\r\n\r\na\r\nabc", "invalid_payload"),
    Half(b"POST /r/app/hello" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "invalid_payload"),
    Half(b"POST /v1/apps" + HOST + b"Content-Length: 10\r\n\r\n{}", "invalid_payload"),
]


async def test_half_a_request_is_refused_and_nothing_is_made_of_it(
    api: ServedApi, capfd: pytest.CaptureFixture[str]
) -> None:
    path = await api.create_route()
    for half in HALVES:
        for before in (b"", post(path)):
            answers = await said(api, before + half.request)
            head, _, body = answers.rpartition(b"\r\n\r\n")
            assert json.loads(body)["error"]["code"] == half.code, half
            assert b" 400 Bad Request\r\n" in head
            assert head.count(b"Connection: close") <= 1
            assert b"aiohttp" not in head
    assert await api.rows() == len(HALVES), "those before the halves"
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_who_leaves_in_mid_body_after_a_refusal_is_no_error(
    api: ServedApi, capfd: pytest.CaptureFixture[str]
) -> None:
    path = (await api.create_route()).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(b"POST " + path + HOST + b"Content-Length: 99999999\r\n\r\nabc")
    assert b"413" in await reader.readuntil(b"\r\n")
    writer.close()
    await eventually(lambda: api.connections == 1)
    assert "Unhandled" not in "".join(capfd.readouterr())


def test_who_sends_nothing_more_is_let_go(play: In) -> None:
    async def scene(api: ServedApi) -> None:
        assert await said(api, b"") == b""
        assert await said(api, b"\r\n") == b""
        assert (await said(api, b"GET /version" + HOST + b"\r\n")).startswith(b"HTTP/1.1 200")

    play(scene)
