"""The shapes on the wire: what request bodies may say, and how apps, routes and calls are shown.

Requests are read as Fn v1 reads them (keys of any case, unknown ones ignored, null = absent). Nothing here validates
more than types; the models do.
"""

from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from api import answers, overviews
from api.fields import AppFields, RouteFields, Texts, TokenFields
from api.json_bodies import converted, decode_members, named, read_json, refuse_unknown_in, unknown_members
from common.errors import AppsMissingNewError, InvalidJSONError, MillraceError, RoutesMissingNewError
from common.models import BODY_TEXT, FRAMING_UNIVERSAL, App, Call, Route, Token

JSON = "application/json; charset=utf-8"
JSON_MAX_BYTES = 1024 * 1024
# What Fn v1 shows of apps and routes, and its clients may send back: ours to set.
READ_ONLY = ("app_name", "created_at", "updated_at")
SHOWN_AROUND = ("message", "warnings")

UINT64_MAX = 2**64 - 1  # msgspec knows no bound beyond 2**63

T = TypeVar("T")
Fields = TypeVar("Fields", bound=Struct)


class Decoded(NamedTuple, Generic[T]):
    """What a body says, and what in it was ignored."""

    value: T
    warnings: list[answers.FieldWarning]


def decode_app(body: bytes) -> Decoded[App]:
    """The app of ``{"app": {…}}``. Raises InvalidJSONError, AppsMissingNewError."""
    fields, warnings = _decode(body, "app", AppFields, AppsMissingNewError)
    return Decoded(App(name=fields.name or "", config=_texts(fields.config)), warnings)


def decode_route(body: bytes, app_name: str) -> Decoded[Route]:
    """The route of ``{"route": {…}}``, its path as it was spelt.

    Raises InvalidJSONError, RoutesMissingNewError, UnknownFieldError.
    """
    fields, warnings = _decode(body, "route", RouteFields, RoutesMissingNewError)
    if (fields.memory or 0) > UINT64_MAX:
        raise InvalidJSONError(field="route.memory", detail="route.memory must be at most 8192")
    route = Route(
        app_name=app_name,
        path=fields.path or "",
        image=fields.image or "",
        memory=fields.memory or 0,
        headers={
            name: [value or "" for value in values or []] for name, values in (fields.headers or {}).items()
        },
        type=fields.type or "",
        format=fields.format or "",
        timeout=fields.timeout or 0,
        idle_timeout=fields.idle_timeout or 0,
        config=_texts(fields.config),
        writable_root=fields.writable_root,
        json_framing=fields.json_framing or "",
        body_encoding=fields.body_encoding or "",
        public=fields.public,
        retry=fields.retry,
        max_age=fields.max_age,
        network=fields.network or "",
    )
    return Decoded(route, warnings)


def decode_token(body: bytes) -> TokenFields:
    """The members of ``{"name": …, "scope": …, "app": …}``. Raises InvalidJSONError, UnknownFieldError."""
    return decode_members(body, TokenFields)


def _decode(
    body: bytes, wrapper: str, shape: type[Fields], missing: type[MillraceError]
) -> tuple[Fields, list[answers.FieldWarning]]:
    """What stands in *wrapper*, and what is said of members that nobody knows. Raises *missing* without any."""
    outer = read_json(body, wrapper)
    outer = {} if outer is None else outer
    inner = named(outer, (wrapper,), wrapper).get(wrapper)
    if inner is None:
        around = unknown_members(outer, (wrapper, *SHOWN_AROUND))
        came = f", but the body has {around[0].field}" if around else ""
        raise missing(field=wrapper, detail=f'the body must be {{"{wrapper}": {{…}}}}{came}')
    members = named(inner, shape.__struct_fields__, wrapper)
    refuse_unknown_in(members, shape, wrapper)
    ignored = unknown_members(outer, (wrapper, *SHOWN_AROUND))
    ignored += unknown_members(inner, (*shape.__struct_fields__, *READ_ONLY), wrapper)
    return converted(members, shape, wrapper), ignored


def _texts(given: Texts | None) -> dict[str, str]:
    return {key: value or "" for key, value in (given or {}).items()}


def json_response(body: object, status: int = 200) -> web.Response:
    """*body* as JSON and a line's end, as Fn v1 ends its answers."""
    return web.Response(status=status, body=msgspec.json.encode(body) + b"\n", headers={"Content-Type": JSON})


def app_json(app: App) -> answers.App:
    """An app as shown: config only if there is any."""
    return answers.App(
        name=app.name,
        config=app.config or UNSET,
        created_at=optional_timestamp(app.created_at),
        updated_at=optional_timestamp(app.updated_at),
    )


def route_json(route: Route) -> answers.Route:
    """A route as shown: headers and config only if there are any, what Fn v1 does not know only if it is asked for."""
    return answers.Route(
        app_name=route.app_name,
        path=route.path,
        image=route.image,
        memory=route.memory,
        headers=route.headers or UNSET,
        type=route.type,
        format=route.format,
        timeout=route.timeout,
        idle_timeout=route.idle_timeout,
        config=route.config or UNSET,
        writable_root=route.writable_root or UNSET,
        json_framing=_unless(FRAMING_UNIVERSAL, route.json_framing),
        body_encoding=_unless(BODY_TEXT, route.body_encoding),
        public=route.public or UNSET,
        retry=route.retry if route.retry and route.retry.max_attempts > 1 else UNSET,
        max_age=route.max_age or UNSET,
        network=route.network or UNSET,
        created_at=optional_timestamp(route.created_at),
        updated_at=optional_timestamp(route.updated_at),
    )


def call_json(call: Call) -> answers.Call:
    """A call as shown: what is not known, or empty, is left out. Never its payload, headers or environment."""
    return answers.Call(
        id=call.id,
        parent_id=answers.known(call.parent_id),
        status=call.status,
        reason=answers.known(call.reason),
        detail=call.detail or UNSET,
        error=call.error or UNSET,
        last_detail=UNSET if call.status.is_final else call.last_detail or UNSET,
        last_error=UNSET if call.status.is_final else call.last_error or UNSET,
        exit_code=answers.known(call.exit_code),
        app_name=call.app_name,
        path=call.path,
        type=call.type or UNSET,
        priority=call.priority,
        delay=call.delay or UNSET,
        timeout=call.timeout or UNSET,
        attempt=call.attempt,
        cold=answers.known(call.cold),
        created_at=optional_timestamp(call.created_at),
        due_at=optional_timestamp(call.due_at),
        claimed_at=optional_timestamp(call.claimed_at),
        started_at=optional_timestamp(call.started_at),
        completed_at=optional_timestamp(call.completed_at),
        stats=[answers.Stat(timestamp=timestamp(stat.timestamp), metrics=stat.metrics) for stat in call.stats]
        or UNSET,
    )


def token_json(token: Token, secret: str | None = None) -> overviews.Token:
    """A token as shown: never its hash, and its secret once."""
    return overviews.Token(
        token=answers.known(secret),
        id=token.id,
        name=token.name,
        scope=token.scope,
        app=answers.known(token.app_name),
        created_at=optional_timestamp(token.created_at),
    )


def timestamp(instant: datetime) -> str:
    """RFC 3339 in UTC with exactly 3 digits of a second's fraction."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def optional_timestamp(instant: datetime | None) -> str | UnsetType:
    """The instant as `timestamp` writes it; UNSET without one."""
    return UNSET if instant is None else timestamp(instant)


def _unless(default: str, value: str) -> str | UnsetType:
    return UNSET if value in ("", default) else value
