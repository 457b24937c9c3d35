"""Idempotency-Key: a client's word for one request of an app, so that asking again is not a second call.

Reads keys and says what makes a request the same; which keys came before is the store's to know.
"""

import hashlib
import re

import msgspec
from multidict import CIMultiDictProxy

from common.errors import InvalidIdempotencyKeyError
from common.models import Call
from common.store.base import IdempotencyKey

IDEMPOTENCY_KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_KEY = re.compile(r"[!-~]{1,255}")


def key_of(headers: CIMultiDictProxy[str]) -> str | None:
    """A request's key, None without one. Raises InvalidIdempotencyKeyError for another spelling or several."""
    values = headers.getall(IDEMPOTENCY_KEY, [])
    if not values:
        return None
    if len(values) > 1:
        raise InvalidIdempotencyKeyError(f"{IDEMPOTENCY_KEY} stands more than once", field=IDEMPOTENCY_KEY)
    return checked_key(values[0], IDEMPOTENCY_KEY)


def checked_key(key: str, field: str) -> str:
    """The key. Raises InvalidIdempotencyKeyError, naming *field*, unless it is 1 to 255 visible ASCII characters."""
    if not _KEY.fullmatch(key):
        raise InvalidIdempotencyKeyError(f"{field} should be 1 to 255 visible ASCII characters", field=field)
    return key


def idempotency_key(key: str | None, call: Call) -> IdempotencyKey | None:
    """The key with what makes the request for *call* this one: the route, what is asked of it, payload and type.

    Neither the other headers count, which clients and proxies change between two tries, nor what the route is now.
    """
    if key is None:
        return None
    types = [
        value for name, values in call.headers.items() if name.lower() == "content-type" for value in values
    ]
    query = call.url.partition("?")[2]
    asked = (call.path, call.method, query, call.priority, call.delay, call.timeout, types)
    digest = hashlib.sha256(msgspec.json.encode(asked))
    digest.update(call.payload or b"")
    return IdempotencyKey(key=key, request_hash=digest.digest())
