"""Limits of how often and how long: each with an error of its own, in the uniform shape."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from api import protocol
from api.keys import BODIES
from api.protocol import HEADER_MAX_BYTES, HEADERS_MAX, LINE_MAX_BYTES
from common.settings import Settings
from tests.integration.api.served import ServedApi
from tests.polling import eventually

START = b"GET /version HTTP/1.1\r\nHost: localhost\r\n"


async def test_a_client_without_a_token_is_limited_by_its_address(settings: Settings) -> None:
    async with ServedApi(replace(settings, rate_limit_per_s=0.01, rate_limit_burst=3)) as api:
        answers = [await api.get("/v1/apps") for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        limited = answers[-1]
        assert (limited.json["error"]["code"], limited.headline) == ("rate_limited", "Too many requests")
        assert 90 <= int(limited.headers["Retry-After"]) <= 100
        for path in ("/", "/version", "/healthz", "/readyz"):
            assert (await api.get(path)).status == 200
        assert (await api.ask("POST", "/r/app/x")).status == 429
        assert await api.rows("calls") == 0


async def test_each_token_has_a_limit_of_its_own(settings: Settings) -> None:
    async with ServedApi(replace(settings, rate_limit_per_s=0.01, rate_limit_burst=4)) as api:
        first = await api.create_token()
        api.secret = first
        second = await api.create_token()
        statuses = {}
        for name, secret in (("first", first), ("second", second), ("nobody", "")):
            api.secret = secret
            statuses[name] = [(await api.get("/v1/queue")).status for _ in range(5)]
        assert statuses == {
            "first": [200, 200, 200, 429, 429],  # one of its four created the second token
            "second": [200, 200, 200, 200, 429],
            "nobody": [401, 401, 401, 429, 429],  # and one of theirs the first
        }


async def test_refusals_by_the_limit_are_counted(settings: Settings) -> None:
    async with ServedApi(replace(settings, rate_limit_per_s=1000, rate_limit_burst=1)) as api:
        while (await api.get("/v1/apps")).status != 429:
            pass

        async def scrape() -> str:
            while (answer := await api.get("/metrics")).status == 429:
                pass
            return answer.body.decode()

        assert 'millrace_requests_refused_total{code="rate_limited"}' in await scrape()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * LINE_MAX_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /?" + b"x" * 50_000 + b" HTTP/1.1\r\nHost: localhost\r\n",
        START + b"X-Long: " + b"x" * (HEADER_MAX_BYTES + 1) + b"\r\n",
        START + b"X" * (HEADER_MAX_BYTES + 1) + b": x\r\n",
        START + b"X-Long: " + b"x" * 50_000 + b"\r\n",
        START + b"".join(b"X-%d: x\r\n" % number for number in range(HEADERS_MAX)),
        START + b"Authorization: Bearer " + b"x" * HEADER_MAX_BYTES + b"\r\n",
    ],
    ids="line longer-line value name longer-value headers token".split(),
)
async def test_a_head_that_is_too_long_is_431(api: ServedApi, head: bytes) -> None:
    status, answer = await api.raw(head + b"\r\n", with_body=True)
    headers, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (431, "head_too_large")
    assert error["message"].startswith(("Request head too large: the limit is", "Too many headers"))
    for header in (b"Content-Type: application/json; charset=utf-8", b"Server: millrace"):
        assert header in headers
    assert (await api.get("/version")).status == 200


async def test_a_head_within_the_limits_is_served(api: ServedApi) -> None:
    heads = (
        b"GET /version?" + b"x" * (LINE_MAX_BYTES - 100) + b" HTTP/1.1\r\nHost: localhost\r\n",
        START + b"X-Long: " + b"x" * (HEADER_MAX_BYTES - 100) + b"\r\n",
        START + b"".join(b"X-%d: x\r\n" % number for number in range(HEADERS_MAX - 10)),
    )
    for head in heads:
        assert (await api.raw(head + b"Connection: close\r\n\r\n"))[0] == 200


async def test_a_client_that_does_not_take_its_answer_is_given_up(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep its connection and the whole answer in memory for as long as it likes."""
    monkeypatch.setattr(protocol, "SEND_S", 0.5)
    call_id = await api.submit(await api.create_route())
    await api.finish(call_id, b"x" * 10 * 2**20)
    before = api.connections
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=2**10)
    writer.write(START.replace(b"/version", f"/v1/apps/app/calls/{call_id}/result".encode()) + b"\r\n")
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert api.connections == before + 1
        await eventually(lambda: api.connections == before)
        assert len(await reader.read()) < 10 * 2**20
    writer.close()


async def test_what_is_no_http_is_told_so_in_json(api: ServedApi) -> None:
    for junk in (b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", START + b"no colon\r\n\r\n"):
        status, answer = await api.raw(junk, with_body=True)
        body = answer.partition(b"\r\n\r\n")[2]
        assert status == 400
        assert json.loads(body) == {"error": {"message": "Malformed HTTP request", "code": "http_malformed"}}


async def stalled(api: ServedApi, path: str, secret: str, body: bytes) -> asyncio.StreamWriter:
    """A request whose body came but for its last byte."""
    before = api.app[BODIES].held_bytes
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n"
    writer.write(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
    await eventually(lambda: api.app[BODIES].held_bytes == before + len(body))
    return writer


async def test_stalled_bodies_of_one_client_leave_room_for_others_and_for_management(
    settings: Settings,
) -> None:
    async with ServedApi(replace(settings, body_max_bytes=1_000_000)) as api:
        await leave_room(api)


async def leave_room(api: ServedApi) -> None:
    path = await api.create_route(public=True)
    admin = api.secret = await api.create_token()
    other = await api.create_token("invoke", "app")
    shares = api.app[BODIES].shares
    shares.total, shares.reserve = 10_000_000, 1_000_000
    stalls = [await stalled(api, path, "", b"x" * 999_999) for _ in range(5)]
    api.secret = ""
    answer = await api.ask("POST", path, data=b"x" * 999_999)
    assert (answer.status, answer.json["error"]["code"]) == (503, "server_busy")
    assert "this client holds" in answer.message
    api.secret = other
    assert (await api.ask("POST", path, data=b"x" * 1_000_000)).status == 202
    stalls += [await stalled(api, path, other, b"x" * 999_999) for _ in range(2)]
    shares.total = shares.used + shares.reserve
    assert (await api.ask("POST", path, data=b"x")).status == 503
    api.secret = admin
    assert (await api.post("/v1/apps", {"app": {"name": "more"}})).status == 200
    for stall in stalls:
        stall.close()
    await eventually(lambda: api.app[BODIES].held_bytes == 0)


async def test_a_body_that_stalls_is_given_up_and_one_that_is_slow_is_not(settings: Settings) -> None:
    async with ServedApi(replace(settings, body_stall_s=0.5)) as api:
        path = await api.create_route()
        request = (
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(request % path.encode() + b"x" * 99_999)
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"}}")
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert error["code"] == "body_timeout"
        assert "16384 bytes in each 0.5 s" in error["message"]
        writer.close()
        assert api.app[BODIES].held_bytes == 0

        async def slow() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"x" * 20_000
                await asyncio.sleep(0.2)

        assert (await api.ask("POST", path, data=slow())).status == 202
