"""The Call that is made of a route and of what a client asks for, whichever way it was asked."""

from datetime import UTC, datetime
from typing import Any

from api.route_cache import FoundRoute
from common.errors import BodyNotTextError
from common.models import BODY_TEXT, FORMAT_JSON, TYPE_ASYNC, TYPE_SYNC, Call, CallStatus


def async_call(found: FoundRoute, payload: bytes, *, delay: int = 0, **asked: Any) -> Call:
    """An async call; its ``timeout`` only if one of its own is asked for, else it gets its route's when it is claimed.

    Raises BodyNotTextError.
    """
    _check_text(found, payload)
    status = CallStatus.DELAYED if delay else CallStatus.QUEUED
    return _call(found, status=status, type=TYPE_ASYNC, delay=delay, payload=payload, **asked)


def sync_call(found: FoundRoute, payload: bytes, **asked: Any) -> Call:
    """A sync call, without its payload: that goes beside it. Raises BodyNotTextError."""
    _check_text(found, payload)
    return _call(found, type=TYPE_SYNC, timeout=found.route.timeout, **asked)


def _call(found: FoundRoute, **asked: Any) -> Call:
    """The call with all that its container is made from; *asked* is what depends on the request."""
    route = found.route
    return Call(
        app_name=route.app_name,
        path=route.path,
        image=route.image,
        format=route.format,
        idle_timeout=route.idle_timeout,
        memory=route.memory,
        base_env=found.revision.base_env,
        writable_root=found.revision.writable_root,
        json_framing=found.revision.json_framing,
        body_encoding=found.revision.body_encoding,
        network=found.revision.network,
        created_at=datetime.now(UTC),
        route_revision=found.revision.id,
        **asked,
    )


def _check_text(found: FoundRoute, payload: bytes) -> None:
    """Raise BodyNotTextError for a payload that format json could not carry unchanged."""
    if found.route.format == FORMAT_JSON and found.revision.body_encoding == BODY_TEXT:
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise BodyNotTextError from error
