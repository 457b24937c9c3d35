"""Malformed requests: each gets the right 4xx and message, in the uniform shape, and nothing is stored."""

from typing import NamedTuple

import pytest

from tests.integration.api.served import ServedApi

INVALID_JSON = "Invalid JSON"
DEEP = b"[" * 100_000 + b"]" * 100_000


class Bad(NamedTuple):
    method: str
    path: str
    body: bytes
    status: int
    message: str


def bad_json(body: bytes, path: str = "/v1/apps", method: str = "POST") -> Bad:
    return Bad(method, path, body, 400, INVALID_JSON)


BAD = [
    bad_json(b""),
    bad_json(b" "),
    bad_json(b"{"),
    bad_json(b"[]"),
    bad_json(b"1"),
    bad_json(b'"app"'),
    bad_json(b'{"app":[]}'),
    bad_json(b'{"app":"x"}'),
    bad_json(b'{"app":{"name":1}}'),
    bad_json(b'{"app":{"name":"x","config":[]}}'),
    bad_json(b'{"app":{"name":"x","config":{"a":1}}}'),
    bad_json(b'{"app":{"name":"x"}} trailing'),
    bad_json(b'{"app":{"name":"x"}}{"app":{"name":"y"}}'),
    bad_json(b'{"app":{"name":"x"},"app":{"name":"y"}}'),
    bad_json(b'{"app":{"name":"x"},"APP":{"name":"y"}}'),
    bad_json(b'{"app":{"name":"x","Name":"y"}}'),
    bad_json(b'{"app":{"name":"x","config":{"a":"1","a":"2"}}}'),
    bad_json(b'{"app":{"name":"x","extra":NaN}}'),
    bad_json(b'{"app":{"name":"x","extra":Infinity}}'),
    bad_json(b'{"app":{"name":"x","extra":1e999}}'),
    bad_json(b'{"app":{"name":"x","extra":' + b"9" * 5000 + b"}}"),
    bad_json(b'{"app":{"name":"x","extra":01}}'),
    bad_json(b'{"app":{"name":"x","extra":' + DEEP + b"}}"),
    bad_json(b'{"app":{"name":"\xff"}}'),
    bad_json(b'{"app":{"name":"x","config":{"a":"\\ud800"}}}'),
    bad_json(b'\xef\xbb\xbf{"app":{"name":"x"}}'),
    bad_json('{"app":{"name":"x"}}'.encode("utf-16")),
    bad_json(b"app=x&name=y"),
    bad_json(b'{"route":{"path":"/p","image":"i","timeout":1.5}}', "/v1/apps/a/routes"),
    bad_json(b'{"route":{"path":"/p","image":"i","timeout":1.0}}', "/v1/apps/a/routes"),
    bad_json(b'{"route":{"path":"/p","image":"i","timeout":true}}', "/v1/apps/a/routes"),
    bad_json(b'{"route":{"path":"/p","image":"i","memory":-1}}', "/v1/apps/a/routes"),
    bad_json(b'{"route":{"path":"/p","image":"i","headers":{"a":"b"}}}', "/v1/apps/a/routes"),
    bad_json(b'{"route":{"path":"/p","image":"i","headers":{"a":[1]}}}', "/v1/apps/a/routes/p", "PUT"),
    Bad("POST", "/v1/apps", b'{"app":{"name":"x","config":{"":"1"}}}', 400, "Config keys must be non-empty"),
    Bad(
        "POST", "/v1/apps", b'{"app":{"name":"x","config":{"a=b":"1"}}}', 400, "Config keys must be non-empty"
    ),
    Bad(
        "POST",
        "/v1/apps",
        b'{"app":{"name":"x","config":{"a":"\\u0000"}}}',
        400,
        "Config keys must be non-empty",
    ),
    Bad("POST", "/v1/apps", b'{"app":{"name":"a\\u0000"}}', 400, "Invalid app name"),
    Bad("POST", "/v1/apps", b'{"app":{"name":"../x"}}', 400, "Invalid app name"),
    Bad("POST", "/v1/apps", b" " * (1024 * 1024 + 1), 413, "Request body too large"),
    Bad("PUT", "/v1/apps/a/routes/%2541", b'{"route":{"image":"i"}}', 400, "Invalid route path format"),
    Bad("PUT", "/v1/apps/a/routes/%25zz", b'{"route":{"image":"i"}}', 400, "Path malformed"),
    Bad("PUT", "/v1/apps/a/routes/%00", b'{"route":{"image":"i"}}', 400, "Path malformed"),
    Bad("PUT", "/v1/apps/a/routes/%FF", b'{"route":{"image":"i"}}', 400, "Path malformed"),
    Bad("PUT", "/v1/apps/a/routes/%3Fx", b'{"route":{"image":"i"}}', 400, "Invalid route path format"),
    Bad(
        "PUT", "/v1/apps/a/routes/" + "p" * 300, b'{"route":{"image":"i"}}', 400, "Invalid route path format"
    ),
    Bad("PUT", "/v1/apps/%24/routes/p", b'{"route":{"image":"i"}}', 400, "Invalid app name"),
    Bad("GET", "/v1/apps/%00", b"", 404, "App not found"),
    Bad("GET", "/v1/apps/a%2Fb", b"", 404, "App not found"),
    Bad("GET", "/v1/apps/%FF", b"", 404, "App not found"),
    Bad("GET", "/v1/apps/x/calls/%00", b"", 404, "Call not found"),
    Bad("GET", "/v1/apps/x/calls?path=%00", b"", 404, "App not found"),
    Bad("GET", "/v1/apps/x/routes?image=%00&cursor=AAAA", b"", 404, "App not found"),
    Bad("GET", "/r/%00/%00", b"", 404, "App not found"),
    Bad("PUT", "/v1/apps", b"", 404, "Path not found: /v1/apps"),
    Bad("POST", "/v1/apps/x", b"", 404, "Path not found: /v1/apps/x"),
    Bad("HEAD", "/v1/apps", b"", 404, ""),
    *(
        Bad(
            "GET",
            f"/v1/queue/head?limit={limit}",
            b"",
            400,
            "limit is out of range. It should be between 1 and 500",
        )
        for limit in ("", "0", "501", "-1", "ten", "1e2", "9" * 30)
    ),
    Bad("GET", "/v1/queue/pause", b"", 404, "Path not found: /v1/queue/pause"),
    Bad("DELETE", "/v1/queue", b"", 404, "Path not found: /v1/queue"),
    Bad("GET", "/v1/nothing%20here", b"", 404, "Path not found: /v1/nothing here"),
    Bad("GET", "/v1/../version", b"", 404, "Path not found: /v1/../version"),
    Bad("GET", "//evil.example/", b"", 404, "Path not found: //evil.example/"),
]


async def test_each_bad_request_is_answered_as_it_should_be(api: ServedApi) -> None:
    for bad in BAD:
        answer = await api.ask(bad.method, bad.path, data=bad.body)
        assert answer.status == bad.status, bad
        if bad.method != "HEAD":
            assert answer.message.startswith(bad.message), bad
            assert answer.json["error"]["code"]
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Server"] == "millrace"
    assert (await api.get("/v1/apps?cursor=AAAA")).status == 200
    for table in ("apps", "routes", "calls"):
        assert await api.rows(table) == 0


async def test_bytes_that_are_no_text_in_a_path_are_refused(api: ServedApi) -> None:
    for path in (b"/v1/apps/\xff", b"/r/\xff/\xfe", b"/v1/apps/x/calls?path=\xff"):
        status, _ = await api.raw(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
        assert status in {400, 404}


async def test_what_is_no_http_is_closed_with_400_and_logged_without_a_traceback(
    api: ServedApi, capfd: pytest.CaptureFixture[str]
) -> None:
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    ):
        assert (await api.raw(junk))[0] == 400
    output = "".join(capfd.readouterr())
    assert "refused what is no HTTP" in output
    assert "Traceback" not in output


async def test_a_path_with_one_slash_too_many_is_redirected_to(api: ServedApi) -> None:
    for method, status in (("GET", 301), ("POST", 307)):
        answer = await api.ask(method, "/v1/apps/?per_page=3", data=b"")
        assert (answer.status, answer.headers["Location"]) == (status, "/v1/apps?per_page=3")
    assert (await api.get("/nowhere/")).message == "Path not found: /nowhere/"


async def test_a_request_id_is_echoed_if_it_is_sound(api: ServedApi) -> None:
    assert (await api.get("/version", headers={"X-Request-Id": "abc-1"})).headers["X-Request-Id"] == "abc-1"
    for odd in ("x" * 65, "a b", "a;b"):
        assert (await api.get("/version", headers={"X-Request-Id": odd})).headers["X-Request-Id"] != odd
