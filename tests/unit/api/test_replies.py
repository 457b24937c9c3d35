"""What the caller of a sync call is answered, for every way in which it can end."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from api import ends
from api.middlewares import APIError
from api.replies import answer, failure
from common.models import CallStatus, Detail, Headers, Outcome, Reason


def outcome(status: CallStatus = CallStatus.SUCCESS, **fields: Any) -> Outcome:
    return Outcome(status=status, completed_at=datetime.now(UTC), **fields)


def error(reason: Reason, detail: str, text: str = "") -> APIError:
    return failure(outcome(CallStatus.ERROR, reason=reason, detail=detail, error=text))


def answered(
    route_format: str = "default", route_headers: Headers | None = None, **fields: Any
) -> web.Response:
    return answer(route_format, route_headers or {}, outcome(**fields))


def test_a_timeout_and_a_want_of_capacity_have_fns_words() -> None:
    timeout = error(Reason.TIMEOUT, Detail.RUN_TIMEOUT, "killed after 3 s")
    assert (timeout.status, timeout.message, timeout.code) == (504, "Timed out", "call_timeout")
    for reason, detail in (
        (Reason.KILLED, Detail.NO_CAPACITY),
        (Reason.TIMEOUT, Detail.INIT_TIMEOUT),
        (Reason.KILLED, Detail.INIT_TIMEOUT),
    ):
        busy = error(reason, detail)
        assert (busy.status, busy.message, busy.code) == (503, "Timed out - server too busy", "server_busy")
    refused = answer("default", {}, ends.no_capacity())
    assert (refused.status, refused.headers["Retry-After"]) == (503, "15")


@pytest.mark.parametrize(
    "detail",
    [
        *(
            Detail.EXIT_CODE,
            Detail.OOM_KILLED,
            Detail.SIGNALLED,
            Detail.BAD_RESPONSE,
            Detail.RESPONSE_TOO_LARGE,
        ),
        *(
            Detail.WORKER_LOST,
            Detail.IMAGE_NOT_FOUND,
            Detail.PULL_DENIED,
            Detail.PULL_FAILED,
            Detail.START_FAILED,
        ),
        Detail.UNSUPPORTED_FORMAT,
    ],
)
def test_all_other_trouble_is_the_functions_and_says_what_it_was(detail: Detail) -> None:
    failed = error(Reason.KILLED, detail, "container exit code 3")
    assert (failed.status, failed.message, failed.code) == (502, "container exit code 3", detail)


def test_an_end_that_says_nothing_is_an_error_all_the_same() -> None:
    nothing = failure(outcome(CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST))
    assert (nothing.status, nothing.message, nothing.code) == (502, "Function failed", "client_request")


@pytest.mark.parametrize(
    ("route_format", "body", "expected"),
    [
        ("default", b"text \xc3\xa9", "text/plain; charset=utf-8"),
        ("default", b"", "text/plain; charset=utf-8"),
        ("default", b"<html>", "text/plain; charset=utf-8"),
        ("default", b"\xff", "application/octet-stream"),
        ("http", b"\xff", "application/octet-stream"),
        ("json", b"\xff", "application/json"),
    ],
)
def test_an_answer_without_a_type_gets_a_harmless_one(route_format: str, body: bytes, expected: str) -> None:
    assert answered(route_format, result=body).headers["Content-Type"] == expected


def test_the_functions_type_goes_before_the_routes_and_that_before_ours() -> None:
    route: Headers = {"content-type": ["text/css"], "X-A": ["1"]}
    assert answered("json", route).headers.getall("Content-Type") == ["text/css"]
    named = answered("json", route, response_headers={"CONTENT-TYPE": ["a/b", "c/d"]})
    assert named.headers.getall("Content-Type") == ["c/d"]
    assert answered(response_headers={"Content-Type": []}).headers["Content-Type"].startswith("text/plain")


def test_other_headers_of_both_stay() -> None:
    both = answered(
        route_headers={"X-A": ["1", "2"]},
        response_headers={"x-a": ["3"], "Set-Cookie": ["a", "b"], "Content-Encoding": ["gzip"], "TE": ["x"]},
    )
    assert sorted(both.headers.getall("X-A")) == ["1", "2", "3"]
    assert both.headers.getall("Set-Cookie") == ["a", "b"]
    assert both.headers["Content-Encoding"] == "gzip"
    assert "TE" not in both.headers


@pytest.mark.parametrize(
    "fields",
    [
        {"response_status": 101},
        {"response_status": 0},
        {"response_status": 600},
        {"response_headers": {"X-A": ["1\r\nX-B: 2"]}},
        {"response_headers": {"X A": ["1"]}},
        {"response_headers": {"X-A": ["x" * 70_000]}},
    ],
)
def test_what_http_can_not_carry_is_a_bad_response(fields: dict[str, Any]) -> None:
    answer = answered(**fields)
    assert answer.status == 502
    assert isinstance(answer.body, bytes)
    assert b'"code":"bad_response"' in answer.body


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_gets_none(status: int) -> None:
    assert answered(response_status=status, result=b"x").body is None
