"""What a hot function is told of its call: every variable as a header, and nothing that a client made up."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from common.models import Call, Headers, new_id
from worker.formats import HOT
from worker.formats.base import BadResponseError
from worker.formats.headers import (
    RESPONSE_HEADERS_MAX,
    RESPONSE_HEADERS_MAX_BYTES,
    request_headers,
    request_url,
    response_headers,
)

DEADLINE = datetime(2018, 1, 10, 12, 34, 56, 789_999, tzinfo=UTC)
BASE_ENV = {
    "FN_FORMAT": "http",
    "FN_APP_NAME": "a",
    "FN_PATH": "/p",
    "FN_MEMORY": "128",
    "FN_TYPE": "sync",
    "APP_VAR": "configured",
}


def call(**fields: Any) -> Call:
    defaults: dict[str, Any] = {
        "id": new_id(),
        "app_name": "a",
        "path": "/p",
        "url": "http://host:8080/r/a/p?q=1",
        "method": "POST",
        "type": "sync",
        "timeout": 30,
        "attempt": 1,
        "base_env": BASE_ENV,
    }
    return Call(**defaults | fields)


def headers_of(payload: bytes = b"", **fields: Any) -> Headers:
    return request_headers(call(**fields), payload, DEADLINE)


def test_every_variable_is_a_header_in_gos_spelling() -> None:
    """Fn's U-31."""
    one = call(headers={"content-type": ["text/plain"], "X-many": ["1", "2"]})
    assert request_headers(one, b"four", DEADLINE) == {
        "Content-Type": ["text/plain"],
        "X-Many": ["1", "2"],
        "Fn_call_id": [str(one.id)],
        "Fn_method": ["POST"],
        "Fn_request_url": ["http://host:8080/r/a/p?q=1"],
        "Fn_deadline": ["2018-01-10T12:34:56.789Z"],
        "Fn_param_app": ["a"],
        "Fn_param_route": ["/p"],
        "Fn_attempt": ["1"],
        "Fn_format": ["http"],
        "Fn_app_name": ["a"],
        "Fn_path": ["/p"],
        "Fn_memory": ["128"],
        "Fn_type": ["sync"],
        "App_var": ["configured"],
        "Content-Length": ["4"],
    }


@pytest.mark.parametrize("trace", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "not a trace"])
@pytest.mark.parametrize("name", ["http", "json"])
def test_a_trace_reaches_the_function(name: str, trace: str) -> None:
    assert headers_of(headers={"traceparent": [trace]})["Traceparent"] == [trace]
    written = b"".join(HOT[name].request(call(headers={"traceparent": [trace]}), b"", DEADLINE))
    assert b"Traceparent" in written
    assert trace.encode() in written


def test_a_deadline_of_another_zone_is_told_in_utc() -> None:
    local = DEADLINE.astimezone(timezone(timedelta(hours=5)))
    assert request_headers(call(), b"", local)["Fn_deadline"] == ["2018-01-10T12:34:56.789Z"]


@pytest.mark.parametrize(
    "name", ["App_var", "app-var", "APP_VAR", "Fn-Call-Id", "fn_call_id", "Fn_path", "FN-ANY", "fn_"]
)
def test_a_client_can_not_pose_as_a_variable(name: str) -> None:
    passed = headers_of(headers={name: ["forged"]})
    assert passed.keys() == headers_of().keys()
    assert ["forged"] not in passed.values()


@pytest.mark.parametrize(
    "name",
    "Host host Expect Content-Length content_length Transfer-Encoding transfer_encoding Connection Keep-Alive TE "
    "Trailer Upgrade Proxy-Connection Proxy-Authorization".split(),
)
def test_what_belongs_to_a_connection_is_not_passed(name: str) -> None:
    passed = headers_of(b"four", headers={name: ["77"]})
    assert ["77"] not in passed.values()
    assert passed["Content-Length"] == ["4"]


def test_config_can_not_pose_as_the_connections_headers_or_the_calls_variables() -> None:
    config = {
        "HOST": "0.0.0.0",
        "CONTENT_LENGTH": "7",
        "UPGRADE": "yes",
        "fn_path": "forged",
        "Fn_Call_Id": "forged",
    }
    passed = headers_of(base_env=BASE_ENV | config)
    assert passed.keys() == headers_of().keys()
    assert passed["Fn_path"] == ["/p"]
    assert passed["Fn_call_id"] != ["forged"]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\x1b[0m", "a\x7f", "\ud800"])
def test_what_a_header_can_not_carry_is_left_out(value: str) -> None:
    passed = headers_of(headers={"A": ["good", value], "B": [value]}, base_env={"C": value, "D": "good"})
    assert passed["A"] == ["good"]
    assert passed["D"] == ["good"]
    assert not passed.keys() & {"B", "C"}


@pytest.mark.parametrize("name", ["", "A B", "A:", "A\r\nB", "A\0", "Ä"])
def test_a_name_that_is_none_is_left_out(name: str) -> None:
    assert headers_of(headers={name: ["v"]}, base_env={name: "v"}).keys() == headers_of(base_env={}).keys()


def test_a_url_has_no_character_that_could_end_it() -> None:
    url = "http://h/a b\r\nX: y\0é?q=%20&r=[1]"
    assert request_url(call(url=url)) == "http://h/a%20b%0D%0AX:%20y%00%C3%A9?q=%20&r=[1]"


@pytest.mark.parametrize("name", ["http", "json"])
def test_no_format_writes_a_line_that_a_client_chose(name: str) -> None:
    evil = "x\r\nInjected: yes\r\n\r\n{"
    one = call(
        headers={evil: ["v"], "A": [evil]},
        base_env={evil: "v", "B": evil},
        url=f"http://h/{evil}",
        app_name=evil,
        path=f"/{evil}",
    )
    written = b"".join(HOT[name].request(one, b"", DEADLINE))
    assert b"\nInjected" not in written


def test_a_response_keeps_what_is_for_its_caller() -> None:
    fields = [
        ("Set-Cookie", "a"),
        ("X-u", "ü"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "1"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Date", "now"),
        ("set-cookie", "b"),
        ("Content-Encoding", "gzip"),
    ]
    assert response_headers(fields) == {"Set-Cookie": ["a", "b"], "X-u": ["ü"], "Content-Encoding": ["gzip"]}


@pytest.mark.parametrize(
    "field", [("", "v"), ("a b", "v"), ("a\n", "v"), ("a", "b\nc"), ("a", "b\rc"), ("a", "\0")]
)
def test_a_response_header_that_can_not_be_carried_is_an_error(field: tuple[str, str]) -> None:
    with pytest.raises(BadResponseError):
        response_headers([field])


def test_a_responses_headers_are_limited() -> None:
    response_headers([("a", "v")] * RESPONSE_HEADERS_MAX)
    with pytest.raises(BadResponseError):
        response_headers([("a", "v")] * (RESPONSE_HEADERS_MAX + 1))
    with pytest.raises(BadResponseError):
        response_headers([("a", "v" * RESPONSE_HEADERS_MAX_BYTES)])
