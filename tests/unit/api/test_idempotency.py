"""What makes a request the same one, and which keys are none."""

from typing import Any

import pytest
from msgspec.structs import replace

from api.idempotency import checked_key, idempotency_key
from common.errors import InvalidIdempotencyKeyError
from common.models import Call, new_id

CALL = Call(
    id=new_id(),
    app_name="app",
    path="/p",
    method="POST",
    url="http://localhost/r/app/p?q=1",
    payload=b"x",
    headers={"Content-Type": ["text/plain"], "User-Agent": ["a"]},
)


def hash_of(**fields: Any) -> bytes:
    key = idempotency_key("key", replace(CALL, **fields))
    assert key is not None
    return key.request_hash


def test_without_a_key_there_is_none() -> None:
    assert idempotency_key(None, CALL) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"id": new_id()},
        {"headers": {"content-TYPE": ["text/plain"], "X-Request-Id": ["b"]}},
        {"url": "https://other.example:8080/r/app//p/?q=1"},
        {"image": "new:2", "route_revision": b"new", "memory": 1},
    ],
)
def test_a_second_try_is_the_same_request(fields: dict[str, Any]) -> None:
    assert hash_of(**fields) == hash_of()


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "/q"},
        {"method": "PUT"},
        {"url": "http://localhost/r/app/p?q=2"},
        {"url": "http://localhost/r/app/p"},
        {"priority": 1},
        {"delay": 1},
        {"timeout": 30},
        {"payload": b"y"},
        {"payload": b""},
        {"payload": None},
        {"headers": {}},
        {"headers": {"Content-Type": ["text/plain", "text/html"]}},
    ],
)
def test_another_request_is_told_from_it(fields: dict[str, Any]) -> None:
    assert hash_of(**fields) != hash_of()


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "\x7f", "ü", "x" * 256])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidIdempotencyKeyError) as caught:
        checked_key(key, "idempotency_key")
    assert caught.value.field == "idempotency_key"
    assert caught.value.message == "idempotency_key should be 1 to 255 visible ASCII characters"
