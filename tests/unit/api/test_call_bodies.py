"""Bodies that ask for calls: read strictly, and what is too much is refused before anything is made of it."""

import json
import tracemalloc

import pytest
from multidict import CIMultiDict

from api.call_bodies import CALLS_MAX_BYTES, VALUES_MAX, AskedCall, decode_calls
from common.errors import BodyTooLargeError, MillraceError, UnknownFieldError

LIMIT_BYTES = 1000


def decode(body: object) -> AskedCall | list[AskedCall | MillraceError]:
    return decode_calls(json.dumps(body).encode(), LIMIT_BYTES)


def test_a_call_is_read_with_its_defaults_and_keys_of_any_case() -> None:
    assert decode({"PATH": "/a//b/", "Headers": {"X-A": "1", "x-a": ["2"], "X-B": []}}) == AskedCall(
        path="/a/b",
        method="POST",
        payload=b"",
        priority=0,
        delay=0,
        timeout=0,
        headers=CIMultiDict([("X-A", "1"), ("x-a", "2")]),
        key=None,
    )


def test_many_are_read_one_by_one() -> None:
    found = decode({"calls": [{"path": "/a"}, {"x": 1}, {"path": "/b"}]})
    assert isinstance(found, list)
    first, bad, last = found
    assert isinstance(first, AskedCall)
    assert isinstance(last, AskedCall)
    assert (first.path, last.path) == ("/a", "/b")
    assert isinstance(bad, UnknownFieldError)
    assert bad.field == "x"


@pytest.mark.parametrize(
    "filling",
    [b"[],", b"{},", b"1,", b'"",', b'{"":0},', b'"\\\\",', b'"\\"",', b"[["],
)
def test_a_body_of_many_values_takes_no_memory(filling: bytes) -> None:
    body = b'{"calls":[' + filling * (4 * 1024 * 1024 // len(filling))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            decode_calls(body, LIMIT_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["{[,", '"', '\\"', "\\", '{"a\\\\": "b"},'])
def test_what_stands_in_a_string_is_no_value(text: str) -> None:
    payload = text * 300_000
    assert len(payload) > VALUES_MAX
    found = decode_calls(json.dumps({"path": "/a", "payload": payload}).encode(), CALLS_MAX_BYTES)
    assert isinstance(found, AskedCall)
    assert found.payload == payload.encode()
