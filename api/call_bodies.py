"""What the JSON body of `POST /v1/apps/{app}/calls` may ask for: one call, or up to CALLS_MAX of them.

Stricter than the bodies that Fn v1 knows: a field that is not known is refused, not ignored. Knows no route and stores
nothing; whether the route's function can take the payload is decided where the call is made.
"""

import base64
import re
from typing import Annotated

from msgspec import Meta, Struct
from multidict import CIMultiDict

from api.fields import said
from api.idempotency import checked_key
from api.json_bodies import converted, read_json, strict_members
from common.errors import (
    BodyTooLargeError,
    InvalidCallHeadersError,
    InvalidCallsError,
    InvalidDelayError,
    InvalidError,
    InvalidHeadersError,
    InvalidJSONError,
    InvalidMethodError,
    InvalidPayloadError,
    InvalidPriorityError,
    InvalidTimeoutError,
    MillraceError,
    RoutesMissingPathError,
)
from common.models import MAX_ASYNC_TIMEOUT, MAX_DELAY_S, MAX_PRIORITY, Headers, normalize_path
from common.models.route import MAX_HEADERS_BYTES, validate_headers
from common.wording import shown

CALLS_MAX_BYTES = 32 * 1024 * 1024
CALLS_MAX = 1000
# An empty list is two bytes of a body and thirty times that in memory: a body of this size needs a limit on them, too.
VALUES_MAX = 200_000

_CALLS = "calls"
METHOD = "^[A-Z][A-Z-]{0,31}$"
_METHOD = re.compile(METHOD)

_TIMEOUT = said("Seconds that it may run, if not its route's.", minimum=1, maximum=MAX_ASYNC_TIMEOUT)
_KEY = said("As the header `Idempotency-Key`.", pattern="^[!-~]{1,255}$")


def _up_to(most: int, description: str) -> Meta:
    return said(description, minimum=0, maximum=most, default=0)


class CallFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a body may ask of one call."""

    path: Annotated[str, said("The path of the route.")] | None = None
    method: Annotated[str, said("The function is told it.", pattern=METHOD, default="POST")] | None = None
    payload: Annotated[str, said("What the function reads.")] | None = None
    payload_base64: Annotated[str, said("The same, for what is no text. Not both.")] | None = None
    priority: Annotated[int, _up_to(MAX_PRIORITY, "Higher ones come first.")] | None = None
    delay: Annotated[int, _up_to(MAX_DELAY_S, "Seconds that it waits before its turn can come.")] | None = (
        None
    )
    timeout: Annotated[int, _TIMEOUT] | None = None
    headers: Annotated[dict[str, str | list[str]], said("The function is told them.")] | None = None
    idempotency_key: Annotated[str, _KEY] | None = None


class NewCall(CallFields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A call to submit. The route's type does not matter: it is an async one."""

    path: Annotated[str, said("The path of the route.", pattern="^/")]


class NewCalls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many calls at once. What is wrong with one is no trouble to the others."""

    calls: Annotated[list[NewCall], said("", minItems=1, maxItems=CALLS_MAX)]


class AskedCall(Struct, frozen=True, kw_only=True):
    """A call that is asked for, sound as far as it can be seen without its route. ``timeout`` 0: its route's."""

    path: str
    method: str
    payload: bytes
    priority: int
    delay: int
    timeout: int
    headers: CIMultiDict[str]
    key: str | None


def decode_calls(body: bytes, payload_max_bytes: int) -> AskedCall | list[AskedCall | MillraceError]:
    """The call of ``{"path": …}``, or what becomes of each of ``{"calls": [{"path": …}, …]}``, in order.

    Raises InvalidJSONError, UnknownFieldError, InvalidCallsError, BodyTooLargeError, and what is wrong with a single
    call. Takes a while for a large body.
    """
    _check_values(body)
    value = read_json(body, "")
    if isinstance(value, dict) and any(key.lower() == _CALLS for key in value):
        return _each(strict_members(value, (_CALLS,))[_CALLS], payload_max_bytes)
    return _asked(value, payload_max_bytes)


def _check_values(body: bytes) -> None:
    """Raise BodyTooLargeError for more than VALUES_MAX values or strings: counted before anything is made of them."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if unescaped.count(b'"') <= 2 * VALUES_MAX:
        outside_strings = b"".join(unescaped.split(b'"')[::2])
        if sum(map(outside_strings.count, (b",", b"[", b"{"))) <= VALUES_MAX:
            return
    raise BodyTooLargeError(f"Request body has too many values: the limit is {VALUES_MAX}")


def _each(value: object, payload_max_bytes: int) -> list[AskedCall | MillraceError]:
    if not isinstance(value, list):
        raise InvalidJSONError(field=_CALLS, detail=f"calls must be a list of calls, not {shown(value)}")
    if not 1 <= len(value) <= CALLS_MAX:
        raise InvalidCallsError(field=_CALLS, detail=f"got {len(value)}")
    found: list[AskedCall | MillraceError] = []
    for item in value:
        try:
            found.append(_asked(item, payload_max_bytes))
        except MillraceError as error:
            found.append(error)
    return found


def _asked(value: object, payload_max_bytes: int) -> AskedCall:
    fields = converted(strict_members(value, CallFields.__struct_fields__), CallFields)
    key = fields.idempotency_key
    return AskedCall(
        path=_path(fields.path),
        method=_method(fields.method),
        payload=_payload(fields, payload_max_bytes),
        priority=_number(fields.priority, "priority", range(MAX_PRIORITY + 1), InvalidPriorityError),
        delay=_number(fields.delay, "delay", range(MAX_DELAY_S + 1), InvalidDelayError),
        timeout=_number(fields.timeout, "timeout", range(1, MAX_ASYNC_TIMEOUT + 1), InvalidTimeoutError),
        headers=_headers(fields.headers or {}),
        key=None if key is None else checked_key(key, "idempotency_key"),
    )


def _path(path: str | None) -> str:
    if not path:
        raise RoutesMissingPathError(field="path", detail='a call names its route, as in {"path": "/upper"}')
    try:
        return normalize_path(path)
    except InvalidError as error:
        raise type(error)(error.message, field="path") from error


def _method(method: str | None) -> str:
    if method is None:
        return "POST"
    if not _METHOD.fullmatch(method):
        raise InvalidMethodError(
            field="method", detail=f"got {shown(method)}, but it must be capital letters, as POST"
        )
    return method


def _payload(fields: CallFields, max_bytes: int) -> bytes:
    text, encoded = fields.payload, fields.payload_base64
    if text is not None and encoded is not None:
        raise InvalidPayloadError("payload and payload_base64 exclude each other", field="payload_base64")
    if encoded is None:
        payload, field = (text or "").encode(), "payload"
    else:
        try:
            payload, field = base64.b64decode(encoded, validate=True), "payload_base64"
        except ValueError as error:
            raise InvalidPayloadError("payload_base64 is not base64", field="payload_base64") from error
    if len(payload) > max_bytes:
        raise BodyTooLargeError(f"Payload too large: the limit is {max_bytes} bytes", field=field)
    return payload


def _number(number: int | None, name: str, allowed: range, invalid: type[InvalidError]) -> int:
    """The number, 0 if none is given."""
    if number is None:
        return 0
    if number not in allowed:
        raise invalid(
            f"{name} is out of range. It should be between {allowed[0]} and {allowed[-1]}",
            field=name,
            detail=f"got {shown(number)}",
        )
    return number


def _headers(given: dict[str, str | list[str]]) -> CIMultiDict[str]:
    headers: Headers = {name: [value] if isinstance(value, str) else value for name, value in given.items()}
    try:
        validate_headers(headers, "headers")
    except InvalidHeadersError as error:
        raise InvalidCallHeadersError(
            f"Headers must be possible in HTTP, and have at most {MAX_HEADERS_BYTES} bytes together",
            field=error.field,
        ) from error
    return CIMultiDict((name, value) for name, values in headers.items() for value in values)
