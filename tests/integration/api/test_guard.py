"""Who may ask without tokens: this machine's programs and this server's own pages, on every path."""

import asyncio

import pytest
from msgspec.structs import replace

from api.sandbox import SANDBOX
from common.models import CallStatus, Reason
from common.settings import Settings
from tests.integration.api.served import Answer, ServedApi
from tests.integration.api.stand_in import StandIn, ended


@pytest.mark.parametrize("path", ["/", "/v1/apps", "/r/app/hello", "/metrics", "/nowhere"])
async def test_foreign_hosts_and_origins_are_refused_everywhere(api: ServedApi, path: str) -> None:
    await api.create_route()
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "localhost:x",
        "localhost:99999",
        "::1",
        "[::1",
    ):
        answer = await api.get(path, headers={"Host": host})
        assert (answer.status, answer.json["error"]["code"]) == (403, "foreign_host"), host
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{api.port + 1}"},
        {"Origin": "http://localhost"},
        {"Origin": f"http://localhost:{api.port}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch;prerender"},
    ]
    for headers in foreign:
        answer = await api.get(path, headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (403, "foreign_origin"), headers
    assert await api.rows() == 0


@pytest.mark.parametrize("host", [b"a:99999", b"a:b", b"a@b:c", b"::1", b"\xff", b"xn--\xc3\xbc"])
async def test_a_host_that_is_none_is_a_bad_request_where_any_host_is_served(
    api: ServedApi, host: bytes
) -> None:
    path = await api.create_route(public=True)
    api.secret = await api.create_token()
    shown = b"Authorization: Bearer " + api.secret.encode() + b"\r\nConnection: close\r\n"
    for target, body in ((path, b""), ("/v1/apps/app/calls", b'{"path":"/hello"}')):
        head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n" % (target.encode(), host, len(body))
        status, answer = await api.raw(head + shown + b"\r\n" + body, with_body=True)
        assert (status, b'"host_malformed"' in answer) == (400, True)
    assert await api.rows() == 0


async def test_this_machine_is_served_by_all_its_names(api: ServedApi) -> None:
    for host in ("localhost", "LOCALHOST:1234", "127.0.0.1", f"127.0.0.1:{api.port}", "[::1]:99"):
        assert (await api.get("/version", headers={"Host": host})).status == 200
    for origin in ("localhost", "127.0.0.1", "[::1]"):
        headers = {"Origin": f"http://{origin}:{api.port}", "Sec-Fetch-Site": "same-origin"}
        assert (await api.get("/version", headers=headers)).status == 200
    assert (
        await api.get("/version", headers={"Host": "localhost", "Origin": "http://localhost"})
    ).status == 200


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET http://evil.example/version HTTP/1.1\r\nHost: localhost\r\n",
        b"GET http://localhost/version HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET /version HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET /version HTTP/1.0\r\n",
        b"GET /version HTTP/1.1\r\nHost:\r\n",
    ],
)
async def test_a_request_names_one_host_and_only_one(api: ServedApi, request_head: bytes) -> None:
    status, _ = await api.raw(request_head + b"Connection: close\r\n\r\n")
    assert status in {400, 403}


async def test_a_target_in_absolute_form_that_names_this_machine_is_served(api: ServedApi) -> None:
    request = b"GET http://localhost:1/version HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n"
    assert (await api.raw(request))[0] == 200


UNDO = {
    "Content-Security-Policy": ["sandbox allow-scripts allow-same-origin"],
    "Service-Worker-Allowed": ["/"],
    "Clear-Site-Data": ['"*"'],
    "Set-Cookie": ["a=b"],
    "Alt-Svc": ['h3="evil.example:443"'],
    "X-Content-Type-Options": ["sniff"],
}


def assert_sealed(answer: Answer) -> None:
    """The sandbox is there, as a policy of its own, and nothing that reaches further."""
    assert SANDBOX in answer.headers.getall("Content-Security-Policy")
    assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert not {"Service-Worker-Allowed", "Clear-Site-Data", "Set-Cookie", "Alt-Svc"} & set(answer.headers)


async def test_every_answer_with_bytes_of_a_function_is_sealed(api: ServedApi) -> None:
    """Neither the function nor its route can undo that: answers, errors, results, logs, and a log that is followed."""
    worker, sync = StandIn(api.queue), await api.create_route(path="/sync", type="sync", headers=UNDO)
    for end in (
        ended(result=b"<script>", response_headers={"Content-Type": ["text/html"], **UNDO}),
        ended(response_status=204, response_headers=UNDO),
        ended(response_status=999),
        ended(CallStatus.ERROR, reason=Reason.BAD_EXIT, error="<script>"),
    ):
        asking = asyncio.create_task(api.ask("GET", sync))
        await worker.reply(await worker.take(), end)
        assert_sealed(await asking)
    submitted = await api.ask("POST", await api.create_route(headers=UNDO))
    assert_sealed(submitted)
    call_id = submitted.json["call_id"]
    await api.finish(call_id, b"<script>", b"<script>", response_headers=UNDO)
    for part in ("result", "log", "log?follow=1", "events", ""):
        assert_sealed(await api.get(f"/v1/apps/app/calls/{call_id}/{part}".rstrip("/")))
    assert_sealed(await api.get(f"/v1/apps/app/calls/{call_id}/log", headers={"Accept": "text/plain"}))


async def test_an_address_of_their_own_may_serve_functions_without_the_sandbox(settings: Settings) -> None:
    async with ServedApi(settings) as management:
        path = await management.create_route(type="sync")
        async with ServedApi(replace(settings, serve="r", functions_own_origin=True)) as api:
            asking = asyncio.create_task(api.ask("GET", path, headers={"Cookie": "c=1"}))
            worker = StandIn(api.queue)
            taken = await worker.take()
            assert taken.call.headers["Cookie"] == ["c=1"]
            await worker.reply(taken, ended(response_headers={"Set-Cookie": ["a=b"], "Alt-Svc": ["x"]}))
            answer = await asking
            assert answer.headers.getall("Set-Cookie") == ["a=b"]
            assert not {"Content-Security-Policy", "Alt-Svc"} & set(answer.headers)


async def test_no_script_of_a_service_worker_is_served(api: ServedApi) -> None:
    path = await api.create_route(public=True)
    for secret in ("", await api.create_token()):
        api.secret = secret
        for target in (path, "/docs/docs.js"):
            answer = await api.get(target, headers={"Service-Worker": "script"})
            assert (answer.status, answer.json["error"]["code"]) == (403, "service_worker_refused")
    assert await api.rows() == 0


async def test_a_browser_calls_a_function_only_when_its_reader_says_so(api: ServedApi) -> None:
    path = await api.create_route()
    opened = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
    asked = await api.get(path + '?a="><b>', headers=opened)
    assert (asked.status, asked.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert b'href="/r/app/hello?a=&quot;&gt;&lt;b&gt;"' in asked.body
    assert (await api.get("/v1/apps", headers=opened)).status == 200
    assert await api.rows() == 0
    assert (await api.get(path, headers=opened | {"Sec-Fetch-Site": "same-origin"})).status == 202


async def test_a_function_redirects_nobody_into_the_api(api: ServedApi) -> None:
    """Whoever follows it would bring along method, body and token."""
    path, worker = await api.create_route(type="sync"), StandIn(api.queue)
    for location, status in (("/v1/queue/pause", 502), ("/r/app/hello", 307)):
        asking = asyncio.create_task(api.ask("POST", path))
        redirect = ended(response_status=307, response_headers={"Location": [location]})
        await worker.reply(await worker.take(), redirect)
        answer = await asking
        assert answer.status == status
        assert ("Location" in answer.headers) == (status == 307)
