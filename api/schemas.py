"""The shapes on the wire: what request bodies may say, and how apps, routes and calls are shown.

Requests are read as Fn v1 reads them (keys of any case, unknown ones ignored, null = absent), but a body must be one
JSON value without doubled keys. Nothing here validates more than types; the models do.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from api import answers, overviews
from api.fields import AppFields, RouteFields, Texts, TokenFields
from common.errors import AppsMissingNewError, InvalidJSONError, RoutesMissingNewError
from common.models import BODY_TEXT, FRAMING_UNIVERSAL, App, Call, Route, Token

JSON = "application/json; charset=utf-8"
JSON_MAX_BYTES = 1024 * 1024
FIELD_MAX_CHARS = 100  # of a bad field's name in an answer

_PLACE = re.compile(r" - at `\$\.(\w+)")

UINT64_MAX = 2**64 - 1  # msgspec knows no bound beyond 2**63

Fields = TypeVar("Fields", bound=Struct)


def decode_app(body: bytes) -> App:
    """The app of ``{"app": {…}}``. Raises InvalidJSONError, AppsMissingNewError."""
    fields = _decode(body, "app", AppFields)
    if fields is None:
        raise AppsMissingNewError(field="app")
    return App(name=fields.name or "", config=_texts(fields.config))


def decode_route(body: bytes, app_name: str) -> Route:
    """The route of ``{"route": {…}}``, its path as it was spelt. Raises InvalidJSONError, RoutesMissingNewError."""
    fields = _decode(body, "route", RouteFields)
    if fields is None:
        raise RoutesMissingNewError(field="route")
    if (fields.memory or 0) > UINT64_MAX:
        raise InvalidJSONError(field="route.memory")
    return Route(
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
    )


def decode_token(body: bytes) -> TokenFields:
    """The members of ``{"name": …, "scope": …, "app": …}``. Raises InvalidJSONError."""
    members = named(read_json(body, ""), set(TokenFields.__struct_fields__), "")
    return converted(members, TokenFields)


def read_json(body: bytes, name: str) -> object:
    """The one value that *body* is, without doubled keys. Raises InvalidJSONError, naming *name* or the doubled key."""
    try:
        # The first is strict about everything but doubled keys, the second sees those.
        msgspec.json.decode(body)
        return json.loads(body, object_pairs_hook=_without_doubled_keys)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJSONError(field=name) from error


def converted(members: dict[str, Any], shape: type[Fields], wrapper: str = "") -> Fields:
    """*members* as *shape*. Raises InvalidJSONError naming the one of a wrong type, by its place in *wrapper*."""
    try:
        return msgspec.convert(members, shape)
    except msgspec.ValidationError as error:
        places = [wrapper] if wrapper else []
        field = ".".join([*places, *_place(members, shape, error)])
        raise InvalidJSONError(field=field[:FIELD_MAX_CHARS]) from error


def named(value: object, names: set[str], wrapper: str) -> dict[str, Any]:
    """The members of *value* that are called so in any case. Raises InvalidJSONError unless it has members."""
    if not isinstance(value, dict):
        raise InvalidJSONError(field=wrapper)
    return _without_doubled_keys(
        [(key.lower(), member) for key, member in value.items() if key.lower() in names]
    )


def _decode(body: bytes, wrapper: str, shape: type[Fields]) -> Fields | None:
    value = read_json(body, wrapper)
    inner = named({} if value is None else value, {wrapper}, wrapper).get(wrapper)
    if inner is None:
        return None
    return converted(named(inner, set(shape.__struct_fields__), wrapper), shape, wrapper)


def _place(members: dict[str, Any], shape: type[Fields], error: msgspec.ValidationError) -> list[str]:
    """Which member is of a wrong type, and which key of it where it is config or headers: msgspec doesn't say."""
    found = _PLACE.search(str(error))
    if found is None:
        return []
    name = found[1]
    if isinstance(members[name], dict) and _fits({name: {}}, shape):
        for key, value in members[name].items():
            if not _fits({name: {key: value}}, shape):
                return [name, key]
    return [name]


def _fits(members: dict[str, Any], shape: type[Fields]) -> bool:
    try:
        msgspec.convert(members, shape)
    except msgspec.ValidationError:
        return False
    return True


def _without_doubled_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidJSONError(field=key[:FIELD_MAX_CHARS])
        found[key] = value
    return found


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
