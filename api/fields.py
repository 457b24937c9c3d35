"""The shapes of request bodies: types are checked by decoding, the rest of what is said here by the models.

Fn v1's leniency: null is absent, 0 and an empty text stand for the default. Nothing here decodes; schemas.py does.
"""

from typing import Annotated

from msgspec import Meta, Struct

from common.models import (
    BODY_BASE64,
    BODY_TEXT,
    DEFAULT_IDLE_TIMEOUT,
    DEFAULT_MEMORY,
    DEFAULT_TIMEOUT,
    FORMAT_DEFAULT,
    FORMAT_HTTP,
    FORMAT_JSON,
    FRAMING_LINE,
    FRAMING_UNIVERSAL,
    MAX_ASYNC_TIMEOUT,
    MAX_IDLE_TIMEOUT,
    MAX_SYNC_TIMEOUT,
    NETWORK_INTERNET,
    NETWORK_NONE,
    ROUTE_MAX_MEMORY,
    TYPE_ASYNC,
    TYPE_SYNC,
    RetryPolicy,
    Scope,
)
from common.models.image import MAX_IMAGE_CHARS
from common.models.route import MAX_AGE_S
from common.models.token import MAX_NAME_CHARS

APP_NAME = "^[A-Za-z0-9_-]{1,30}$"
SAID = "x-said"  # where a Meta keeps what only the description says of a type: decoding accepts more

Texts = dict[str, str | None]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
NotNegative = Annotated[int, Meta(ge=0)]


def said(description: str, **schema: object) -> Meta:
    """What the description says; the models check it, with an error of their own."""
    return Meta(description=description, extra_json_schema={SAID: schema})


def _one_of(*values: str) -> Meta:
    return said("The first is the default.", enum=[*values, ""])


_NETWORK = said(
    "What its containers reach; empty: the operator's default.", enum=[NETWORK_NONE, NETWORK_INTERNET, ""]
)
_NAME = said("1 to 30 letters, digits, `_` and `-`.", pattern=APP_NAME)
_CONFIG = said("Becomes environment. Keys hold no `=`, nothing holds NUL.")
_PATH = said("Absolute, at most 256 bytes, no `:`, `?`, `#`. `//`, `.` and `..` are resolved.", pattern="^/")
_IMAGE = said(
    "`[registry/]name[:tag][@digest]`, of a registry that the operator allows.", maxLength=MAX_IMAGE_CHARS
)
_MEMORY = said("MB.", default=DEFAULT_MEMORY, maximum=ROUTE_MAX_MEMORY)
_HEADERS = said("Stand in every answer of its calls.")
_TIMEOUT = said(
    f"Seconds that a call may run; at most {MAX_SYNC_TIMEOUT} if it is sync.",
    default=DEFAULT_TIMEOUT,
    minimum=0,
    maximum=MAX_ASYNC_TIMEOUT,
)
_IDLE_TIMEOUT = said(
    "Seconds that a hot container may idle.",
    default=DEFAULT_IDLE_TIMEOUT,
    minimum=0,
    maximum=MAX_IDLE_TIMEOUT,
)
_WRITABLE_ROOT = said(
    "Whether the container's root can be written to; only admins may set it.", default=False
)
_MAX_AGE = said(
    "Seconds after which no async call is started any more; 0: none.", default=0, minimum=0, maximum=MAX_AGE_S
)
_PUBLIC = said("Whether it may be called without a token.", default=False)


class AppFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an app's body may set; times are ours to set."""

    name: Annotated[str, said("Can't be changed.")] | None = None
    config: Annotated[Texts, _CONFIG] | None = None


class NewApp(AppFields, frozen=True, kw_only=True, omit_defaults=True):
    """What a new app is made from."""

    name: Annotated[str, _NAME]


class RouteFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a route's body may set; the app comes from the path of the request. 0 and empty stand for the default."""

    path: Annotated[str, said("Can't be changed.")] | None = None
    image: Annotated[str, _IMAGE] | None = None
    memory: Annotated[NotNegative, _MEMORY] | None = None
    headers: Annotated[dict[str, list[str | None] | None], _HEADERS] | None = None
    type: Annotated[str, _one_of(TYPE_SYNC, TYPE_ASYNC)] | None = None
    format: Annotated[str, _one_of(FORMAT_DEFAULT, FORMAT_HTTP, FORMAT_JSON)] | None = None
    timeout: Annotated[Int32, _TIMEOUT] | None = None
    idle_timeout: Annotated[Int32, _IDLE_TIMEOUT] | None = None
    config: Annotated[Texts, _CONFIG] | None = None
    writable_root: Annotated[bool, _WRITABLE_ROOT] | None = None
    json_framing: Annotated[str, _one_of(FRAMING_UNIVERSAL, FRAMING_LINE)] | None = None
    body_encoding: Annotated[str, _one_of(BODY_TEXT, BODY_BASE64)] | None = None
    public: Annotated[bool, _PUBLIC] | None = None
    retry: Annotated[RetryPolicy, said("Which failed async calls are tried again.")] | None = None
    max_age: Annotated[Int32, _MAX_AGE] | None = None
    network: Annotated[str, _NETWORK] | None = None


class NewRoute(RouteFields, frozen=True, kw_only=True, omit_defaults=True):
    """What a new route is made from. 0 and empty stand for the default."""

    path: Annotated[str, _PATH]
    image: Annotated[str, _IMAGE, Meta(extra_json_schema={"minLength": 1})]


class AppBody(Struct, frozen=True, kw_only=True):
    """A change of an app."""

    app: AppFields


class NewAppBody(Struct, frozen=True, kw_only=True):
    """A new app."""

    app: NewApp


class RouteBody(Struct, frozen=True, kw_only=True):
    """A change of a route."""

    route: RouteFields


class NewRouteBody(Struct, frozen=True, kw_only=True):
    """A new route."""

    route: NewRoute


class TokenFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new token's body says."""

    name: (
        Annotated[str, said("1 to 100 printable characters.", minLength=1, maxLength=MAX_NAME_CHARS)] | None
    ) = None
    scope: Annotated[str, said("How much it may do.", enum=list(Scope))] | None = None
    app: Annotated[str, said("The only app that it is good for; of scope `admin` none.")] | None = None


class NewToken(TokenFields, frozen=True, kw_only=True, omit_defaults=True):
    """What a new token is made from."""

    name: Annotated[str, said("1 to 100 printable characters.", minLength=1, maxLength=MAX_NAME_CHARS)]
    scope: Annotated[str, said("How much it may do.", enum=list(Scope))]
