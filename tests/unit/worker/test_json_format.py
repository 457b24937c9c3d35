"""Format json: the objects as they are written, by which readers they can be read, and every rule of the response."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from common.models import BODY_BASE64, FRAMING_LINE, Call, new_id
from worker.formats.base import BadResponseError, Response, ResponseReader, ResponseTooLargeError
from worker.formats.headers import RESPONSE_HEADERS_MAX, UnsendableCallError
from worker.formats.json import JSONFormat
from worker.formats.json_scanner import MAX_DEPTH, MAX_TOKENS

DEADLINE = datetime(2018, 1, 10, tzinfo=UTC)
TRICKY = 'a "quoted" {brace}\n}\n}\n\n\r\n\\ \u2028\u2029\u0085\x7f\0 é \U0001f600 }'


def call(**fields: Any) -> Call:
    defaults: dict[str, Any] = {
        "id": new_id(),
        "url": "http://host/r/a/p",
        "method": "POST",
        "type": "async",
        "headers": {"content-type": ["text/plain"]},
    }
    return Call(**defaults | fields)


def written(one: Call, payload: bytes = b"") -> bytes:
    return b"".join(JSONFormat().request(one, payload, DEADLINE))


def reader(max_bytes: int = 1000, **fields: Any) -> ResponseReader:
    return JSONFormat().reader(call(**fields), max_bytes)


def read(raw: bytes | str | dict[str, Any], **fields: Any) -> Response | None:
    if isinstance(raw, dict):
        raw = json.dumps(raw)
    return reader(**fields).feed(raw if isinstance(raw, bytes) else raw.encode())


# ------------------------------------------------------------------------------------------------------------- request
@pytest.mark.parametrize("framing", ["universal", FRAMING_LINE])
def test_a_request_tells_the_whole_call(framing: str) -> None:
    """Fn's U-35."""
    one = call(json_framing=framing, base_env={"KEY": "é"})
    found = json.loads(written(one, TRICKY.encode()))
    headers = found["protocol"].pop("headers")
    assert found == {
        "call_id": str(one.id),
        "content_type": "text/plain",
        "type": "async",
        "deadline": "2018-01-10T00:00:00.000Z",
        "body": TRICKY,
        "protocol": {"method": "POST", "request_url": "http://host/r/a/p", "type": "http"},
    }
    assert headers["Content-Type"] == ["text/plain"]
    assert headers["Content-Length"] == [str(len(TRICKY.encode()))]
    assert headers["Fn_call_id"] == [str(one.id)]
    assert headers["Key"] == ["é"]


def test_a_binary_body_needs_a_route_that_encodes_it() -> None:
    found = json.loads(written(call(body_encoding=BODY_BASE64), b"\xff\0"))
    assert (found["body"], found["body_encoding"]) == ("/wA=", "base64")
    with pytest.raises(UnsendableCallError):
        written(call(), b"\xff\0")


def test_the_layouts() -> None:
    line = written(call(json_framing=FRAMING_LINE, headers={"A": ["é"]}), TRICKY.encode())
    assert line.isascii()
    assert line.endswith(b"}}\n")
    assert line.count(b"\n") == 1
    universal = written(call(), TRICKY.encode())
    assert universal.isascii()
    assert universal.endswith(b'},"type":"http"\n} \n}\n\n')
    assert universal.count(b"\n") == 4


def up_to_newline_and_brace(stdin: BytesIO) -> str:
    """An old reader: the object's last brace is among the four bytes that it throws away, so it adds one."""
    text = b""
    while not text.endswith(b"\n}"):
        text += stdin.read(1) or pytest.fail("waits for ever")
    assert len(stdin.read(4)) == 4
    return (text + b"}").decode()


def up_to_brace_and_newline(stdin: BytesIO) -> str:
    """A later one."""
    text = b""
    while not text.endswith(b"}\n"):
        text += stdin.read(1) or pytest.fail("waits for ever")
    return text.decode()


def up_to_a_line_of_a_brace_and_an_empty_one(stdin: BytesIO) -> str:
    """Another one, by lines."""
    lines: list[bytes] = []
    while lines[-2:] != [b"}\n", b"\n"]:
        lines.append(stdin.readline() or pytest.fail("waits for ever"))
    return b"".join(lines).decode()


@pytest.mark.parametrize(
    "published", [up_to_newline_and_brace, up_to_brace_and_newline, up_to_a_line_of_a_brace_and_an_empty_one]
)
@pytest.mark.parametrize("payload", ["", "{}", "}", TRICKY])
def test_every_published_reader_reads_universal_objects_one_after_the_other(
    published: Callable[[BytesIO], str], payload: str
) -> None:
    calls = [call(headers={"a": [payload]}), call(), call(path="/", headers={})]
    stdin = BytesIO(b"".join(written(one, payload.encode()) for one in calls))
    for one in calls:
        found = json.loads(published(stdin))
        assert (found["call_id"], found["body"]) == (str(one.id), payload)
        assert found["protocol"]["headers"]["Fn_call_id"] == [str(one.id)]


# ------------------------------------------------------------------------------------------------------------ response
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Response(status=200, headers={}, body=b"")),
        ({"body": TRICKY}, Response(status=200, headers={}, body=TRICKY.encode())),
        ({"body": None, "content_type": None, "protocol": None}, Response(status=200, headers={}, body=b"")),
        (
            {"body": "x", "content_type": "text/plain", "protocol": {"status_code": 503}},
            Response(status=503, headers={"Content-Type": ["text/plain"]}, body=b"x"),
        ),
        (
            {
                "content_type": "a/b",
                "protocol": {"headers": {"content-type": ["c/d"], "X": ["1", "2"], "x": "3"}},
            },
            Response(status=200, headers={"Content-Type": ["a/b"], "X": ["1", "2", "3"]}, body=b""),
        ),
        (
            {"protocol": {"status_code": 0, "headers": {"content-type": "c/d", "Y": [], "Z": None}}},
            Response(status=200, headers={"content-type": ["c/d"]}, body=b""),
        ),
        (
            {
                "protocol": {
                    "headers": {"Date": ["x"], "Content-Length": ["9"], "Connection": ["B"], "B": ["x"]}
                }
            },
            Response(status=200, headers={}, body=b""),
        ),
        (
            {"status": 404, "headers": {"A": [1]}, "more": [{"}": "]"}, "\\"], "protocol": {"type": "http"}},
            Response(status=200, headers={}, body=b""),
        ),
    ],
)
def test_responses_that_are_read(raw: dict[str, Any], expected: Response) -> None:
    """Fn's U-35."""
    assert read(raw) == expected
    pretty = json.dumps(raw, indent="\t", ensure_ascii=False).replace("\n", "\r\n")
    assert read(f" \r\n\n\t{pretty}\r\n\r\n ") == expected


def test_whose_word_on_the_bodys_encoding_counts() -> None:
    encoded = {"body": b64encode(b"\xff\0").decode()}
    for fields, route in (
        ({"body_encoding": "base64"}, "text"),
        ({}, "base64"),
        ({"body_encoding": ""}, "base64"),
    ):
        assert read(encoded | fields, body_encoding=route) == Response(status=200, headers={}, body=b"\xff\0")
    plain = read({"body": "é!", "body_encoding": "text"}, body_encoding="base64")
    assert plain == Response(status=200, headers={}, body="é!".encode())
    assert read({}, body_encoding="base64") == Response(status=200, headers={}, body=b"")


@pytest.mark.parametrize("body", ["é", "a", "YQ", "YQ=", "YQ==\n", " YQ==", "YQ==YQ==", "Y-_=", "=", "YQ==="])
def test_base64_is_strict(body: str) -> None:
    with pytest.raises(BadResponseError):
        read({"body": body}, body_encoding="base64")


@pytest.mark.parametrize(
    "raw",
    [
        b"hello",
        b"\n[",
        b'"',
        b"\xef\xbb\xbf{}",
        b"\x00{}",
        b"{}{}",
        b'{"body": "x"} garbage',
        b"{}\0",
        b"{a}",
        b"{,}",
        b"{]",
        b"{\\",
        b"{'",
        b'{"body": nul}',
        b'{"body": 1}',
        b'{"body": ["x"]}',
        b'{"body": "\xff"}',
        b'{"body": "a\nb"}',
        b'{"body": "\\x"}',
        b'{"body": "\\ud800"}',
        b'{"body": "\\udc00"}',
        b'{"body": "\\udc00\\ud800"}',
        b'{"body": "\xed\xa0\x80"}',
        b'{"body_encoding": "gzip"}',
        b'{"body_encoding": 1}',
        b'{"content_type": "a\\r\\nb"}',
        b'{"content_type": 1}',
        b'{"protocol": []}',
        b'{"protocol": {"status_code": 199}}',
        b'{"protocol": {"status_code": 600}}',
        b'{"protocol": {"status_code": -200}}',
        b'{"protocol": {"status_code": 99999999999999999999}}',
        b'{"protocol": {"status_code": "200"}}',
        b'{"protocol": {"status_code": true}}',
        b'{"protocol": {"headers": []}}',
        b'{"protocol": {"headers": {"a": 1}}}',
        b'{"protocol": {"headers": {"a": [null]}}}',
        b'{"protocol": {"headers": {"a b": "x"}}}',
        b'{"protocol": {"headers": {"": "x"}}}',
        b'{"protocol": {"headers": {"a": "x\\r\\nb: y"}}}',
        b'{"x":' + b"[" * MAX_DEPTH,
        b'{"x":[' + b'"",' * MAX_TOKENS,
        json.dumps({"protocol": {"headers": {"a": ["x"] * (RESPONSE_HEADERS_MAX + 1)}}}).encode(),
    ],
)
def test_what_is_refused_is_refused_at_once_and_for_good(raw: bytes) -> None:
    function = reader(max_bytes=10_000_000)
    with pytest.raises(BadResponseError):
        function.feed(raw)
    with pytest.raises(BadResponseError):
        function.feed(b"{}")


def test_depth_up_to_the_limit_is_read() -> None:
    depth = MAX_DEPTH - 1
    assert read(b'{"x":' + b"[" * depth + b"]" * depth + b"}") is not None


@pytest.mark.parametrize("body", ["x" * 1001, "é" * 501])
def test_a_large_body_is_refused(body: str) -> None:
    with pytest.raises(ResponseTooLargeError):
        read({"body": body})
    with pytest.raises(ResponseTooLargeError):
        read({"body": b64encode(body.encode()).decode()}, body_encoding="base64")


def test_a_body_of_the_maximum_may_be_all_escapes() -> None:
    found = read({"body": "\0" * 1_000_000}, max_bytes=1_000_000)
    assert found is not None
    assert len(found.body) == 1_000_000


def test_blanks_after_the_response_are_no_error_but_all_else_is() -> None:
    function = reader()
    found = function.feed(b'{"body": "x"}')
    assert found is not None
    assert function.feed(b"\r\n \t\n") == found
    assert function.feed(b"") == found
    assert function.end() == found
    with pytest.raises(BadResponseError):
        function.feed(b"\n{")


def test_the_end_of_stdout_completes_nothing() -> None:
    function = reader()
    assert function.feed(b'{"body": "x"') is None
    assert function.end() is None


def test_an_error_says_what_was_wrong_but_not_with_what() -> None:
    with pytest.raises(BadResponseError) as caught:
        read({"protocol": {"headers": {"secret": {"secret": "secret"}}}})
    assert "protocol.headers" in str(caught.value)
    assert "secret" not in str(caught.value)
