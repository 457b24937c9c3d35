"""What the path and the query of a request say: names, ids, pages, times. Fn v1's leniency, kept to the letter:

a bad page size or cursor is no error (the default, or what of it can be read, is taken), a bad time is one.
"""

import base64
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web
from yarl import URL

from common.errors import (
    AppsMissingNameError,
    CallNotFoundError,
    HostMalformedError,
    InvalidLimitError,
    InvalidStatusError,
    InvalidWaitError,
    MillraceError,
)
from common.models import CallStatus, clean_path, parse_id
from common.wording import choice, shown

PER_PAGE_DEFAULT = 30
PER_PAGE_MAX = 100
LIMIT_DEFAULT = 20
LIMIT_MAX = 500
WAIT_MAX_S = 60.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,2}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def app_name_of(request: web.Request) -> str:
    """The app that the path names. Raises AppsMissingNameError for an empty segment."""
    name = request.match_info["app"]
    if not name:
        raise AppsMissingNameError(field="app.name")
    return name


def route_path_of(request: web.Request) -> str:
    """The route that the path names, cleaned; without one it is the root route."""
    return clean_path(request.match_info.get("route", ""))


def url_of(request: web.Request) -> URL:
    """The whole URL that was asked for. Raises HostMalformedError for a Host that can't stand in one."""
    try:
        return request.url
    except ValueError as error:
        raise HostMalformedError(
            field="Host",
            detail=f"got {shown(request.headers.get('Host', ''))}, but it must be HOST or HOST:PORT",
        ) from error


def call_id_of(request: web.Request, missing: type[MillraceError] = CallNotFoundError) -> UUID:
    """The call that the path names. Raises *missing* for what can't be an id."""
    call_id = parse_id(request.match_info["call"])
    if call_id is None:
        raise missing
    return call_id


def per_page_of(request: web.Request) -> int:
    """How many items to list: 30 unless it is a positive integer, at most 100."""
    number = _int64(request.query.get("per_page", "")) or 0
    return min(number, PER_PAGE_MAX) if number > 0 else PER_PAGE_DEFAULT


def limit_of(request: web.Request) -> int:
    """How much of the queue's head to show, 20 by default. Fn has no such path: a bad one is InvalidLimitError."""
    limit = _int64(request.query.get("limit", str(LIMIT_DEFAULT))) or 0
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidLimitError(field="limit", detail=f"got {shown(request.query.get('limit', ''))}")
    return limit


def wait_s_of(request: web.Request) -> float:
    """How many seconds to wait for the end of a call, 0 by default. Raises InvalidWaitError."""
    text = request.query.get("wait", "0")
    if not _SECONDS.fullmatch(text) or float(text) > WAIT_MAX_S:
        raise InvalidWaitError(field="wait", detail=f"got {shown(text)}")
    return float(text)


def statuses_of(request: web.Request) -> tuple[CallStatus, ...]:
    """Which statuses to list, from ``status=queued,running``; none means all. Raises InvalidStatusError."""
    text = request.query.get("status", "")
    names = dict.fromkeys(text.split(",")) if text else {}
    for name in names:
        if name not in set(CallStatus):
            raise InvalidStatusError(field="status", detail=choice(name, CallStatus))
    return tuple(CallStatus(name) for name in names)


def flag_of(request: web.Request, name: str) -> bool:
    """Whether the query says ``name=1`` or ``name=true``."""
    return request.query.get(name, "") in ("1", "true")


def key_cursor_of(request: web.Request) -> str:
    """The name or path after which to go on, from base64url without padding; what can't be decoded is dropped."""
    match = _BASE64URL.match(request.query.get("cursor", ""))
    encoded = match[0] if match else ""
    if len(encoded) % 4 == 1:
        encoded = encoded[:-1]
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode(errors="ignore")


def key_cursor(key: str, count: int, per_page: int) -> str:
    """The cursor of the next page after *key*: empty exactly when this page is not full."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=") if count == per_page else ""


def id_cursor_of(request: web.Request) -> UUID | None:
    """The call before which to go on."""
    return parse_id(request.query.get("cursor", ""))


def time_of(request: web.Request, name: str, invalid: type[MillraceError]) -> datetime | None:
    """A query parameter in Unix seconds; None without one. Raises *invalid* for what is no 64-bit integer."""
    text = request.query.get(name, "")
    if not text:
        return None
    seconds = _int64(text)
    if seconds is None:
        raise invalid(
            field=name, detail=f"got {shown(text)}, but it must be whole seconds since 1970, as 1767225600"
        )
    if not _FIRST.timestamp() <= seconds <= _LAST.timestamp():
        return _FIRST if seconds < 0 else _LAST
    return _EPOCH + timedelta(seconds=seconds)


def _int64(text: str) -> int | None:
    """What Go's ParseInt reads of *text*, None for what it does not take."""
    number = int(text) if _INTEGER.fullmatch(text) else 2**63
    return number if -(2**63) <= number < 2**63 else None
