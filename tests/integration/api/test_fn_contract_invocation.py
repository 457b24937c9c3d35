"""Fn v1's contract of invocation, as far as no function has to run: each test names the cases of Fn's that it is.

Which test is which case stands in tests/architecture/test_fn_cases.py; what a function answers is in test_sync.py, and
with real containers in tests/e2e/test_fn_contract.py.
"""

import pytest

from tests.integration.api.served import ServedApi

JSON = "application/json; charset=utf-8"
NOT_THERE = [
    ("/r/none/hello", 404, "App not found"),
    ("/r/none", 404, "App not found"),
    ("/r/app/none", 404, "Route not found"),
    ("/r/app", 404, "Route not found"),
    ("/r/app/hello/more", 404, "Route not found"),
    ("/r//x", 400, "Missing app name"),
    ("/r", 404, "Path not found: /r"),
    ("/route", 404, "Path not found: /route"),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_not_there_is_not_found_and_stores_nothing(api: ServedApi, method: str) -> None:
    """A-26, U-14: each error is JSON and as long as it says."""
    await api.create_route()
    for path, status, message in NOT_THERE:
        answer = await api.ask(method, path)
        assert (answer.status, answer.message) == (status, message), path
        assert answer.headers["Content-Type"] == JSON
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert "Fn_call_id" not in answer.headers
    assert await api.rows() == 0


async def test_every_method_is_a_call_and_both_spellings_name_the_root_route(api: ServedApi) -> None:
    """U-15: also with a query, or with more slashes than needed."""
    await api.create_route(path="/")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"):
        for path in ("/r/app", "/r/app/", "/r/app?a=b", "/r/app//"):
            assert (await api.ask(method, path)).status == 202
    assert await api.rows() == 32


@pytest.mark.parametrize("wire_format", ["default", "http", "json"])
async def test_an_async_call_is_accepted_whatever_it_brings(api: ServedApi, wire_format: str) -> None:
    """A-20, U-18: in each format, with and without a body and headers."""
    path = await api.create_route(format=wire_format)
    for body in (b"", b"\n\t{}"):
        for headers in ({}, {"X-Function": "test", "Content-Type": "application/json"}):
            answer = await api.ask("POST", path, data=body, headers=headers)
            assert answer.status == 202
            assert answer.headers["Content-Type"] == JSON
            assert answer.json == {"call_id": answer.headers["Fn_call_id"]}
            shown = await api.get(f"/v1/apps/app/calls/{answer.json['call_id']}")
            assert (shown.status, shown.json["call"]["path"]) == (200, "/hello")


async def test_a_call_is_answered_with_its_id_and_the_headers_of_the_route(api: ServedApi) -> None:
    """A-20, U-15: the id's header is spelt as Go spells it, and nobody can forge it."""
    path = await api.create_route(
        headers={
            "X-Function": ["Test", "Two"],
            "Fn_call_id": ["forged"],
            "content-type": ["text/html"],
            "Content-Length": ["3"],
            "Connection": ["close"],
        }
    )
    answer = await api.ask("POST", path, data=b"x")
    call_id = answer.json["call_id"]
    assert (answer.status, answer.json) == (202, {"call_id": call_id})
    assert answer.headers.getall("Fn_call_id") == [call_id]
    assert answer.headers.getall("X-Function") == ["Test", "Two"]
    assert answer.headers["Content-Type"] == JSON
    assert "Connection" not in answer.headers
    _, head = await api.raw(
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode()
    )
    assert head.count(b"\r\nFn_call_id: ") == 1
