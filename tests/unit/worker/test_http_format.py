"""Format http: the request as it is written, and every rule of the response."""

from datetime import UTC, datetime
from typing import Any

import pytest

from common.models import Call, new_id
from worker.formats.base import BadResponseError, Response, ResponseReader, ResponseTooLargeError
from worker.formats.headers import RESPONSE_HEADERS_MAX, RESPONSE_HEADERS_MAX_BYTES, UnsendableCallError
from worker.formats.http import HTTPFormat
from worker.formats.http_reader import MAX_CHUNKS, MAX_INTERIM

DEADLINE = datetime(2018, 1, 10, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def call(**fields: Any) -> Call:
    defaults: dict[str, Any] = {"id": new_id(), "url": "http://user@host:8080/r/a/p?q=1", "method": "POST"}
    return Call(**defaults | fields)


def reader(method: str = "GET", max_bytes: int = 1000) -> ResponseReader:
    return HTTPFormat().reader(call(method=method), max_bytes)


def read(raw: bytes, method: str = "GET", max_bytes: int = 1000) -> Response | None:
    return reader(method, max_bytes).feed(raw)


# ------------------------------------------------------------------------------------------------------------- request
def test_a_request_is_a_head_and_the_payload_itself() -> None:
    """Fn's U-31."""
    payload = b"x" * 1000
    head, body = HTTPFormat().request(call(headers={"accept": ["a", "b"]}), payload, DEADLINE)
    lines = head.decode().split("\r\n")
    assert lines[:4] == [
        "POST http://user@host:8080/r/a/p?q=1 HTTP/1.1",
        "Host: host:8080",
        "Accept: a",
        "Accept: b",
    ]
    assert "Content-Length: 1000" in lines
    assert "Fn_deadline: 2018-01-10T00:00:00.000Z" in lines
    assert lines[-2:] == ["", ""]
    assert body is payload


def test_an_empty_payload_has_a_length_and_nothing_is_chunked() -> None:
    headers = {"Transfer-Encoding": ["chunked"], "Expect": ["100-continue"], "Host": ["forged"]}
    head, _ = HTTPFormat().request(call(method="GET", headers=headers), b"", DEADLINE)
    assert head.count(b"Content-Length: 0\r\n") == 1
    assert head.count(b"Host:") == 1
    assert b"chunked" not in head
    assert b"Expect" not in head


@pytest.mark.parametrize(
    "fields",
    [
        {"url": ""},
        {"url": "/r/a"},
        {"url": "http:///p"},
        {"url": "http://[/p"},
        {"method": ""},
        {"method": "A B"},
    ],
)
def test_a_call_that_is_no_http_request_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(UnsendableCallError):
        HTTPFormat().request(call(**fields), b"", DEADLINE)


# ------------------------------------------------------------------------------------------------------------ response
@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (OK + b"Content-Length: 4\r\n\r\nbody", 200, b"body"),
        (b"HTTP/1.1 200\nContent-Length:4\n\nbody", 200, b"body"),
        (b"HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n", 599, b""),
        (OK + b"Content-Length: 4, 4\r\nContent-Length: 4\r\n\r\nbody", 200, b"body"),
        (CHUNKED + b"3\r\nabc\r\nA ; ext=1\r\n0123456789\r\n0\r\n\r\n", 200, b"abc0123456789"),
        (CHUNKED + b"3\nabc\n000\nTrailer: dropped\n\n", 200, b"abc"),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9999\r\n\r\n", 304, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n", 204, b""),
    ],
)
def test_responses_that_are_read(raw: bytes, status: int, body: bytes) -> None:
    assert read(raw) == Response(status=status, headers={}, body=body)


def test_a_response_to_head_has_no_body() -> None:
    expected = Response(status=200, headers={}, body=b"")
    assert read(OK + b"\r\n", "HEAD") == expected
    assert read(OK + b"Content-Length: 5000\r\n\r\n", "HEAD") == expected
    assert read(CHUNKED, "HEAD") == expected


@pytest.mark.parametrize(
    ("head", "is_last"),
    [
        (b"HTTP/1.1 204 x\r\n", False),
        (b"HTTP/1.1 204 x\r\nConnection: x, Close\r\n", True),
        (b"HTTP/1.0 204 x\r\n", True),
        (b"HTTP/1.0 204 x\r\nConnection: Keep-Alive\r\n", False),
    ],
)
def test_a_function_may_say_that_it_takes_no_more(head: bytes, is_last: bool) -> None:
    assert read(head + b"\r\n") == Response(status=204, headers={}, body=b"", is_last=is_last)


def test_headers_are_passed_in_order_without_the_connections() -> None:
    raw = (
        OK + "A: \t1, é \r\nb: 2\r\na: 3\r\nDate: now\r\nContent-Length: 0\r\nConnection: b\r\n\r\n".encode()
    )
    found = read(raw)
    assert found is not None
    assert found.headers == {"A": ["1, é", "3"]}
    latin = read(OK + b"A: \xe9\r\nContent-Length: 0\r\n\r\n")
    assert latin is not None
    assert latin.headers == {"A": ["é"]}


@pytest.mark.parametrize(
    "raw",
    [
        b"hello",
        b"\r\n",
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.2 200 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1  200 OK\r\n",
        b"HTTP/1.1 600 OK\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        OK + b"\r\n",
        OK + b"No colon\r\n",
        OK + b": no name\r\n",
        OK + b"Content-Length : 0\r\n",
        OK + b"A: b\r\n folded: c\r\n",
        OK + b"A: b\rc\r\n",
        OK + b"A: b\0c\r\n",
        OK + b"A: b\x1bc\r\nContent-Length: 4\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 1, 2\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: +1\r\n\r\n",
        OK + b"Content-Length: 0x1\r\n\r\n",
        OK + b"Content-Length: 1_0\r\n\r\n",
        OK + b"Content-Length: \xb2\r\n\r\n",
        OK + b"Content-Length: \r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x1\r\n",
        CHUNKED + b"1 2\r\n",
        CHUNKED + b"g\r\n",
        CHUNKED + b"1" * 300,
        CHUNKED + b"3\r\nabcd\r\n",
        CHUNKED + b"0\r\nno trailer\r\n",
        b"HTTP/1.1 100 x\r\n\r\n" * (MAX_INTERIM + 1),
        OK + b"A: b\r\n" * (RESPONSE_HEADERS_MAX + 1),
        OK + b"A" * RESPONSE_HEADERS_MAX_BYTES,
        CHUNKED + b"0\r\n" + b"A: b\r\n" * (RESPONSE_HEADERS_MAX + 1),
        OK + b"Content-Length: 0\r\n\r\n\r\n",
        b"HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\nx",
        CHUNKED + b"0\r\n\r\nx",
    ],
)
def test_what_is_refused_is_refused_at_once_and_for_good(raw: bytes) -> None:
    function = reader()
    with pytest.raises(BadResponseError):
        function.feed(raw)
    with pytest.raises(BadResponseError):
        function.feed(OK + b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "raw", [OK + b"Content-Length: 1001\r\n\r\n", CHUNKED + b"3e9\r\n", CHUNKED + b"1\r\na\r\n3e8\r\n"]
)
def test_a_large_body_is_refused_once_its_length_is_known(raw: bytes) -> None:
    with pytest.raises(ResponseTooLargeError):
        read(raw)


def test_a_body_may_have_the_maximum() -> None:
    for raw in (OK + b"Content-Length: 1000\r\n\r\n", CHUNKED + b"3e8\r\n"):
        function = reader()
        assert function.feed(raw) is None
        function.feed(b"x" * 1000)
        found = function.end() or function.feed(b"\r\n0\r\n\r\n")
        assert found is not None
        assert len(found.body) == 1000


def test_chunks_are_counted() -> None:
    with pytest.raises(BadResponseError):
        read(CHUNKED + b"1\r\nx\r\n" * (MAX_CHUNKS + 1), max_bytes=10 * MAX_CHUNKS)


def test_bytes_after_the_response_are_an_error_of_every_later_feed() -> None:
    function = reader()
    raw = OK + b"Content-Length: 0\r\n\r\n"
    found = function.feed(raw)
    assert found is not None
    assert function.feed(b"") == found
    assert function.end() == found
    for late in (b"\n", raw):
        with pytest.raises(BadResponseError):
            function.feed(late)


def test_the_end_of_stdout_completes_nothing() -> None:
    function = reader()
    assert function.feed(OK + b"Content-Length: 4\r\n\r\nbod") is None
    assert function.end() is None
