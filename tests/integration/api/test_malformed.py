"""Malformed requests, one a line: each gets the right 4xx, in the uniform shape, and nothing is stored of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio

from common import errors
from common.settings import Settings
from tests.conftest import TEMPLATE, _database
from tests.integration.api.malformed import DEFINITIONS, Bad
from tests.integration.api.malformed_calls import BODY_MAX_BYTES, REQUESTS
from tests.integration.api.served import ServedApi

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAD = [*DEFINITIONS, *REQUESTS]
MESSAGES = {one.slug: one.default_message for one in vars(errors).values() if hasattr(one, "slug")}
TABLES = ("apps", "routes", "calls", "call_inputs", "idempotency_keys", "tokens")


class Raw(NamedTuple):
    """Bytes that an HTTP client would not send. ``ends``: its sending side is closed after them."""

    name: str
    head: bytes
    body: bytes = b""
    status: int = 400
    code: str = "http_malformed"
    field: str = ""
    ends: bool = False


HOST = b"Host: localhost\r\nConnection: close\r\n"
CALL = b"POST /r/app/later HTTP/1.1\r\n" + HOST
CHUNKED = CALL + b"Transfer-Encoding: chunked\r\n"
LIST = b"GET /v1/apps HTTP/1.1\r\n"
TOO_LONG = (431, "head_too_large")
TOO_LARGE = (413, "body_too_large")
UNKNOWN_CODING = (501, "transfer_coding_unsupported", "Transfer-Encoding")
UNKNOWN_EXPECT = (417, "expectation_unknown", "Expect")
UNKNOWN_ENCODING = (415, "content_coding_unsupported", "Content-Encoding")
RAW = [
    Raw("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\r\n"),
    Raw("a word", b"GET\r\n"),
    Raw("a method in small letters", b"get /v1/apps HTTP/1.1\r\n" + HOST),
    Raw("a method that HTTP has not", b"BREW / HTTP/1.1\r\n" + HOST),
    Raw("a version that is none", b"GET /v1/apps HTTP/3.9\r\n" + HOST),
    Raw("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"),
    Raw("lines without carriage returns", b"GET /v1/apps HTTP/1.1\nHost: localhost\n"),
    Raw("a target without a slash", b"GET v1/apps HTTP/1.1\r\n" + HOST),
    Raw("a NUL in the target", b"GET /v1/apps\0 HTTP/1.1\r\n" + HOST),
    Raw("bytes in the target that are no text", b"GET /r/\xff/\xfe HTTP/1.1\r\n" + HOST),
    Raw("a target of 20 KB", b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST, b"", *TOO_LONG),
    Raw(
        "a tunnel", b"CONNECT /r/app/later HTTP/1.1\r\n" + HOST, status=403, code="foreign_host", field="Host"
    ),
    Raw("everything's options", b"OPTIONS * HTTP/1.1\r\n" + HOST, status=404, code="path_not_found"),
    Raw("a header of 20 KB", LIST + HOST + b"X: " + b"x" * 20_000 + b"\r\n", b"", *TOO_LONG),
    Raw("a header's name of 20 KB", LIST + HOST + b"x" * 20_000 + b": x\r\n", b"", *TOO_LONG),
    Raw("two thousand headers", LIST + HOST + b"X: x\r\n" * 2000, b"", *TOO_LONG),
    Raw("a NUL in a header", LIST + HOST + b"X: a\0b\r\n"),
    Raw("a header without a colon", LIST + HOST + b"no colon\r\n"),
    Raw("a blank before the colon", LIST + HOST + b"X : a\r\n"),
    Raw("a folded header", LIST + HOST + b" X: a\r\n"),
    Raw("no host", LIST),
    Raw("no host, HTTP/1.0", b"GET /v1/apps HTTP/1.0\r\n", status=403, code="foreign_host", field="Host"),
    Raw("two hosts", LIST + HOST + b"Host: evil.example\r\n"),
    Raw(
        "another host in the target",
        b"GET http://evil.example/ HTTP/1.1\r\n" + HOST,
        status=403,
        code="foreign_host",
        field="Host",
    ),
    Raw("a length below zero", CALL + b"Content-Length: -1\r\n"),
    Raw("a length with a sign", CALL + b"Content-Length: +3\r\n", b"abc"),
    Raw("a length in words", CALL + b"Content-Length: three\r\n", b"abc"),
    Raw("a length beyond 64 bits", CALL + b"Content-Length: " + b"9" * 23 + b"\r\n", b"abc"),
    Raw("two lengths", CALL + b"Content-Length: 1\r\nContent-Length: 2\r\n", b"ab"),
    Raw("ten terabytes to come", CALL + b"Content-Length: 10000000000000\r\n", b"abc", 413, "body_too_large"),
    Raw("less than its length", CALL + b"Content-Length: 10\r\n", b"abc", code="invalid_payload", ends=True),
    Raw("a length and chunks", CHUNKED + b"Content-Length: 3\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    Raw("another coding than chunks", CALL + b"Transfer-Encoding: gzip\r\n", b"abc"),
    Raw("a chunk's size that is none", CHUNKED, b"zz\r\nabc"),
    Raw("a chunk's size below zero", CHUNKED, b"-3\r\nabc\r\n0\r\n\r\n"),
    Raw("a chunk longer than its size", CHUNKED, b"3\r\nabcdef\r\n0\r\n\r\n"),
    Raw("a chunk that ends early", CHUNKED, b"a\r\nabc", code="invalid_payload", ends=True),
    Raw(
        "a coding under the chunks",
        CALL + b"Transfer-Encoding: gzip, chunked\r\n",
        b"0\r\n\r\n",
        *UNKNOWN_CODING,
    ),
    Raw("chunks of HTTP/1.0", CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"), b"3\r\nabc\r\n0\r\n\r\n"),
    Raw(
        "too much announced, then little",
        CALL + b"Content-Length: 9999999\r\n",
        b"abc",
        *TOO_LARGE,
        ends=True,
    ),
    Raw("chunks in chunks", CALL + b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    Raw("a coding in two headers", CHUNKED + b"Transfer-Encoding: br\r\n", b"0\r\n\r\n"),
    Raw("an expectation that is none", CALL + b"Expect: 200-ok\r\n", b"", *UNKNOWN_EXPECT),
    Raw(
        "an expectation of what is unknown",
        b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Expect: x\r\n",
        b"",
        *UNKNOWN_EXPECT,
    ),
    Raw("an expectation in bytes that are no text", CALL + b"Expect: \xff\r\n", b"", *UNKNOWN_EXPECT),
    Raw(
        "an encoding that is not undone",
        LIST.replace(b"GET", b"POST") + HOST + b"Content-Encoding: gzip\r\n",
        b"",
        *UNKNOWN_ENCODING,
    ),
    Raw(
        "two encodings",
        CALL.replace(b"/r/app/later", b"/v1/apps/app/calls") + b"Content-Encoding: identity, br\r\n",
        b"",
        *UNKNOWN_ENCODING,
    ),
    Raw(
        "two priorities",
        CALL + b"Millrace-Priority: 1\r\n" * 2,
        b"",
        400,
        "priority_invalid",
        "Millrace-Priority",
    ),
    Raw("two delays", CALL + b"Millrace-Delay: 1\r\n" * 2, b"", 400, "delay_invalid", "Millrace-Delay"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, redis_url: str) -> AsyncIterator[ServedApi]:
    """One api for all: what it has at first it must have at the end, an app of three routes and a finished call."""
    async with _database(postgres_url, TEMPLATE) as database_url:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            queue_name=f"test-{uuid4().hex}",
            body_max_bytes=BODY_MAX_BYTES,
        )
        async with ServedApi(settings) as api:
            await api.create_route(path="/now", type="sync")
            await api.create_route(path="/json", format="json")
            await api.finish(await api.submit(await api.create_route(path="/later")))
            yield api


@pytest_asyncio.fixture(loop_scope="module")
async def nothing_stored(api: ServedApi) -> AsyncIterator[None]:
    """What is stored and queued after the test is what was before it."""
    before = await stored(api)
    yield
    assert await stored(api) == before


async def stored(api: ServedApi) -> dict[str, int]:
    counts = {table: await api.rows(table) for table in TABLES}
    return counts | {"queued": (await api.queue.depth()).calls}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
async def test_it_is_refused(api: ServedApi, bad: Bad) -> None:
    method, _, target = bad.request.partition(" ")
    if "CALL" in target:
        (call,) = (await api.get("/v1/apps/app/calls")).json["calls"]
        target = target.replace("CALL", call["id"])
    body = bad.body if isinstance(bad.body, bytes) else json.dumps(bad.body).encode()
    answer = await api.ask(method, target, data=body, headers=bad.headers)
    assert answer.status == bad.status, answer.body
    if method != "HEAD":
        error = answer.json["error"]
        assert (error["code"], error.get("fields", "")) == (bad.code, bad.field)
        assert answer.message.startswith(bad.message or MESSAGES[bad.code])
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "millrace"


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("raw", RAW, ids=[raw.name for raw in RAW])
async def test_these_bytes_are_refused(api: ServedApi, raw: Raw, capfd: pytest.CaptureFixture[str]) -> None:
    head, body = await exchange(api, raw.head + b"\r\n" + raw.body, ends=raw.ends)
    assert int(head.split()[1]) == raw.status, body
    error = json.loads(body)["error"]
    assert (error["code"], error.get("fields", "")) == (raw.code, raw.field)
    assert error["message"]
    assert re.findall(rb"Server: (.*)\r", head) == [b"millrace"]
    for header in (b"Content-Type: application/json", b"X-Content-Type-Options: nosniff", b"X-Request-Id: "):
        assert header in head
    assert "Traceback" not in "".join(capfd.readouterr())


async def exchange(api: ServedApi, request: bytes, *, ends: bool) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            if ends:
                writer.write_eof()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
            return head, await reader.readexactly(length)
    finally:
        writer.close()


async def test_a_path_with_one_slash_too_many_is_redirected_to(api: ServedApi) -> None:
    for method, status in (("GET", 301), ("POST", 307)):
        answer = await api.ask(method, "/v1/apps/?per_page=3", data=b"")
        assert (answer.status, answer.headers["Location"]) == (status, "/v1/apps?per_page=3")
    assert (await api.get("/nowhere/")).message == "Path not found: /nowhere/"

    answer = await api.ask("GET", "/v1/apps/app/routes/now/?x=1")
    assert (answer.status, answer.headers["Location"]) == (301, "/v1/apps/app/routes/now?x=1")


async def test_a_wrong_method_is_told_the_right_ones(api: ServedApi) -> None:
    for request, allowed in (
        ("PUT /v1/apps", "GET, POST"),
        ("POST /v1/apps/app/routes/now", "DELETE, GET, PATCH, PUT"),
        ("GET /v1/queue/pause", "POST"),
    ):
        answer = await api.ask(*request.split(), data=b"")
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert answer.message == f"Method not allowed: {request}. Allowed are {allowed}"


async def test_what_fn_ignores_in_a_query_is_ignored_and_told(api: ServedApi) -> None:
    answer = await api.get("/v1/apps/app/calls?stauts=queued")
    assert (answer.status, len(answer.json["calls"])) == (200, 1)
    assert answer.headers["Millrace-Warning"] == (
        "Unknown query parameter: stauts. Did you mean status? It was ignored."
    )
    assert "Millrace-Warning" not in (await api.get("/v1/apps?per_page=3")).headers
    assert "Millrace-Warning" not in (await api.get("/healthz?x=1")).headers


async def test_what_fn_ignores_in_a_body_is_ignored_and_told(api: ServedApi) -> None:
    told = {"field": "route.typ", "message": "Unknown field, ignored. Did you mean type?"}
    target = "/v1/apps/app/routes/later"
    for method in ("PUT", "PATCH"):
        answer = await api.ask(method, target, json={"route": {"typ": "sync", "created_at": "x"}})
        assert (answer.json["warnings"], answer.json["route"]["type"]) == ([told], "async")
    answer = await api.ask("PATCH", "/v1/apps/app", json={"app": {"confg": {}}})
    assert answer.json["warnings"][0]["field"] == "app.confg"
    assert "warnings" not in (await api.get(target)).json


async def test_a_request_id_is_echoed_if_it_is_sound(api: ServedApi) -> None:
    assert (await api.get("/version", headers={"X-Request-Id": "abc-1"})).headers["X-Request-Id"] == "abc-1"
    for odd in ("x" * 65, "a b", "a;b"):
        assert (await api.get("/version", headers={"X-Request-Id": odd})).headers["X-Request-Id"] != odd
