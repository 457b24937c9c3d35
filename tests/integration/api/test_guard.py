"""Who may ask without tokens: this machine's programs and this server's own pages, on every path."""

import pytest

from tests.integration.api.served import ServedApi


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
