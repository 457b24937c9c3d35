"""The id of a request, by which the logs of api and worker name it. It travels with the call among its headers."""

import re
from collections.abc import Mapping
from uuid import uuid4

from common.models.route import Headers

HEADER = "X-Request-Id"

_SOUND = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def request_id_from(headers: Mapping[str, str]) -> str:
    """The id that the client gave, else the trace that the request belongs to, else a new one. Names in any case."""
    given = headers.get(HEADER, "")
    if _SOUND.fullmatch(given):
        return given
    trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return trace[1] if trace else uuid4().hex


def with_request_id(headers: Headers, request_id: str) -> Headers:
    """*headers* with this id in place of any other."""
    return {name: values for name, values in headers.items() if name.lower() != HEADER.lower()} | {
        HEADER: [request_id]
    }


def request_id_of(headers: Headers) -> str:
    """The id of the request that a call with these headers came with; empty for a call that has none."""
    values = headers.get(HEADER) or next(
        (values for name, values in headers.items() if name.lower() == HEADER.lower()), []
    )
    return values[0] if values else ""
