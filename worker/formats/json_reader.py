"""Reads one response of format ``json`` from a function's stdout: an object, laid out however it likes.

Members that are not the format's are ignored, null stands for a member that is not there. The body is text; on a route
with body_encoding base64 it is base64, and in both cases the object's own ``body_encoding`` has the last word.
"""

import re
from binascii import a2b_base64
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from common.models import BODY_BASE64, BODY_TEXT
from worker.formats.base import BadResponseError, Response, ResponseTooLargeError
from worker.formats.headers import response_headers
from worker.formats.json_scanner import ObjectScanner
from worker.formats.reader import OneResponseReader

_ESCAPED_BYTES = 6  # of one byte of body: \u0000
_BESIDE_BODY_BYTES = 256 * 1024  # headers, other members, layout


class _Protocol(Struct, frozen=True):
    status_code: int | None = None
    headers: dict[str, list[str] | str | None] | None = None


class _Object(Struct, frozen=True):
    body: str | None = None
    body_encoding: str | None = None
    content_type: str | None = None
    protocol: _Protocol | None = None


_decoder = msgspec.json.Decoder(_Object)
_NO_PROTOCOL = _Protocol()


class JSONReader(OneResponseReader):
    """See ResponseReader. *body_encoding* is the route's. Blanks after the object are no error."""

    excess = re.compile(rb"[^ \t\r\n]")

    def __init__(self, *, body_encoding: str, max_bytes: int) -> None:
        super().__init__()
        self._body_encoding = body_encoding
        self._max_bytes = max_bytes
        self._scanner = ObjectScanner(max_bytes * _ESCAPED_BYTES + _BESIDE_BODY_BYTES)

    def _read(self, piece: bytes) -> int:
        end = self._scanner.scan(piece)
        if end is None:
            return len(piece)
        found = _decode(self._scanner.object)
        self._scanner.object.clear()
        self._response = Response(
            status=_status(found), headers=response_headers(_fields(found)), body=self._body(found)
        )
        return end

    def _body(self, found: _Object) -> bytes:
        encoding = found.body_encoding or self._body_encoding
        try:
            if encoding == BODY_BASE64:
                body = a2b_base64(found.body or "", strict_mode=True)
            elif encoding == BODY_TEXT:
                body = (found.body or "").encode()
            else:
                raise BadResponseError("the response has an unknown body_encoding")
        except ValueError as error:
            raise BadResponseError(f"the body of the response is not {encoding}") from error
        if len(body) > self._max_bytes:
            raise ResponseTooLargeError(f"response is larger than {self._max_bytes} bytes")
        return body


def _decode(text: bytearray) -> _Object:
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        # Names the member and its type, never its value.
        raise BadResponseError(f"the object of the response is not as agreed: {error}") from error
    except ValueError as error:
        raise BadResponseError("the object of the response is malformed") from error


def _status(found: _Object) -> int:
    status = (found.protocol or _NO_PROTOCOL).status_code or 200
    if not 200 <= status <= 599:
        raise BadResponseError("the response has a status_code that is not in 200..599")
    return status


def _fields(found: _Object) -> Iterator[tuple[str, str]]:
    """The headers one by one; content_type takes the place of a Content-Type among them."""
    headers: dict[str, list[str] | str | None] = (found.protocol or _NO_PROTOCOL).headers or {}
    if found.content_type:
        yield "Content-Type", found.content_type
    for name, values in headers.items():
        if not found.content_type or name.lower() != "content-type":
            yield from ((name, value) for value in ([values] if isinstance(values, str) else values or []))
