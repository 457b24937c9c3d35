"""Route: a path of an app, and the image and limits of its function; RouteRevision: what a call is fixed to at submit.

Knows its own rules and how paths are spelt, not where it is stored or how it is invoked.
"""

import hashlib
import posixpath
import re
from datetime import datetime
from typing import Self
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from common.errors import (
    FoundDynamicURLError,
    InvalidError,
    InvalidHeadersError,
    PathMalformedError,
    RoutesInvalidBodyEncodingError,
    RoutesInvalidFormatError,
    RoutesInvalidIdleTimeoutError,
    RoutesInvalidImageError,
    RoutesInvalidJSONFramingError,
    RoutesInvalidMaxAgeError,
    RoutesInvalidMemoryError,
    RoutesInvalidNetworkError,
    RoutesInvalidPathError,
    RoutesInvalidTimeoutError,
    RoutesInvalidTypeError,
    RoutesMissingAppNameError,
    RoutesMissingImageError,
    RoutesMissingNewError,
    RoutesMissingPathError,
)
from common.models.app import MAX_NAMED_CHARS, App, Config, merge_config, validate_config
from common.models.image import parse_image
from common.models.retry import RetryPolicy
from common.wording import choice, shown

TYPE_NONE = ""
TYPE_SYNC = "sync"
TYPE_ASYNC = "async"

FORMAT_DEFAULT = "default"
FORMAT_HTTP = "http"
FORMAT_JSON = "json"

FRAMING_UNIVERSAL = "universal"  # what every published reader of Fn's json format accepts
FRAMING_LINE = "line"  # one object a line
BODY_TEXT = "text"
BODY_BASE64 = "base64"

NETWORK_NONE = "none"
NETWORK_INTERNET = "internet"

TYPES = (TYPE_SYNC, TYPE_ASYNC)
FORMATS = (FORMAT_DEFAULT, FORMAT_HTTP, FORMAT_JSON)
FRAMINGS = (FRAMING_UNIVERSAL, FRAMING_LINE)
BODY_ENCODINGS = (BODY_TEXT, BODY_BASE64)
NETWORKS = (NETWORK_NONE, NETWORK_INTERNET)

DEFAULT_TIMEOUT = 30  # seconds
DEFAULT_IDLE_TIMEOUT = 30  # seconds
DEFAULT_MEMORY = 128  # MB
MAX_SYNC_TIMEOUT = 120  # seconds
MAX_ASYNC_TIMEOUT = 3600  # seconds
MAX_IDLE_TIMEOUT = MAX_ASYNC_TIMEOUT
ROUTE_MAX_MEMORY = 8 * 1024  # MB
MAX_PATH_BYTES = 256
MAX_AGE_S = 30 * 24 * 3600
MAX_HEADERS_BYTES = 64 * 1024  # names and values: they go out with every answer

Headers = dict[str, list[str]]

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class Route(Struct, frozen=True, kw_only=True):
    """A callable path. ``memory`` in MB, ``timeout`` and ``idle_timeout`` in seconds.

    The fields after ``updated_at`` are ours. ``json_framing`` and ``body_encoding`` say how format ``json`` writes its
    objects, and the bodies in them. A ``public`` route may be called without a token. Async calls only: ``retry`` says
    which failed ones are tried again, ``max_age`` (seconds, 0: none) after how long none is started any more.
    ``network`` is NETWORK_NONE, NETWORK_INTERNET, or empty for the operator's default.
    """

    app_name: str = ""
    path: str = ""
    image: str = ""
    memory: int = 0
    headers: Headers = {}
    type: str = TYPE_NONE
    format: str = ""
    timeout: int = 0
    idle_timeout: int = 0
    config: Config = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None
    writable_root: bool | None = None
    json_framing: str = ""
    body_encoding: str = ""
    public: bool | None = None
    retry: RetryPolicy | None = None
    max_age: int | None = None
    network: str = ""

    def set_defaults(self, now: datetime) -> Self:
        """A copy with every zero value replaced by its default, and unset times by one reading of the clock."""
        return replace(
            self,
            memory=self.memory or DEFAULT_MEMORY,
            type=self.type or TYPE_SYNC,
            format=self.format or FORMAT_DEFAULT,
            timeout=self.timeout or DEFAULT_TIMEOUT,
            idle_timeout=self.idle_timeout or DEFAULT_IDLE_TIMEOUT,
            created_at=self.created_at or now,
            updated_at=self.updated_at or now,
            writable_root=bool(self.writable_root),
            json_framing=self.json_framing or FRAMING_UNIVERSAL,
            body_encoding=self.body_encoding or BODY_TEXT,
            public=bool(self.public),
            retry=self.retry or RetryPolicy(),
            max_age=self.max_age or 0,
        )

    def validate(self) -> None:
        """Raise the error of the first broken rule, in Fn v1's order; those from the headers on are ours."""
        if not self.app_name:
            raise RoutesMissingAppNameError(field="route.app_name")
        validate_path(self.path)
        self._validate_image()
        if self.type not in TYPES:
            raise RoutesInvalidTypeError(field="route.type", detail=choice(self.type, TYPES))
        if self.format not in FORMATS:
            raise RoutesInvalidFormatError(field="route.format", detail=choice(self.format, FORMATS))
        self._validate_limits()
        validate_headers(self.headers)
        validate_config(self.config, "route.config")
        self._validate_json()
        if self.retry is not None:
            self.retry.validate()
        if not 0 <= (self.max_age or 0) <= MAX_AGE_S:
            raise RoutesInvalidMaxAgeError(field="route.max_age", detail=f"got {shown(self.max_age)}")
        if self.network and self.network not in NETWORKS:
            raise RoutesInvalidNetworkError(field="route.network", detail=choice(self.network, NETWORKS))

    def _validate_json(self) -> None:
        if self.json_framing not in FRAMINGS:
            raise RoutesInvalidJSONFramingError(
                field="route.json_framing", detail=choice(self.json_framing, FRAMINGS)
            )
        if self.body_encoding not in BODY_ENCODINGS:
            raise RoutesInvalidBodyEncodingError(
                field="route.body_encoding", detail=choice(self.body_encoding, BODY_ENCODINGS)
            )

    def _validate_image(self) -> None:
        if not self.image:
            raise RoutesMissingImageError(field="route.image")
        if parse_image(self.image) is None:
            raise RoutesInvalidImageError(
                field="route.image",
                detail=f"got {shown(self.image)}, but it must be [REGISTRY/]NAME[:TAG][@DIGEST], in small letters",
            )

    def _validate_limits(self) -> None:
        longest = MAX_ASYNC_TIMEOUT if self.type == TYPE_ASYNC else MAX_SYNC_TIMEOUT
        if not 1 <= self.timeout <= longest:
            raise RoutesInvalidTimeoutError(
                field="route.timeout", detail=f"got {self.timeout}, the type is {self.type}"
            )
        if not 1 <= self.idle_timeout <= MAX_IDLE_TIMEOUT:
            raise RoutesInvalidIdleTimeoutError(field="route.idle_timeout", detail=f"got {self.idle_timeout}")
        if not 1 <= self.memory <= ROUTE_MAX_MEMORY:
            raise RoutesInvalidMemoryError(field="route.memory", detail=f"got {self.memory}")

    def merge(self, change: "Route") -> "Route":
        """Fn v1's PATCH: non-zero fields replace, config and headers merge; identity never changes."""
        return replace(
            self,
            image=change.image or self.image,
            type=change.type or self.type,
            format=change.format or self.format,
            memory=change.memory or self.memory,
            timeout=change.timeout or self.timeout,
            idle_timeout=change.idle_timeout or self.idle_timeout,
            config=merge_config(self.config, change.config),
            headers=merge_headers(self.headers, change.headers),
            writable_root=self.writable_root if change.writable_root is None else change.writable_root,
            json_framing=change.json_framing or self.json_framing,
            body_encoding=change.body_encoding or self.body_encoding,
            public=self.public if change.public is None else change.public,
            retry=change.retry or self.retry,
            max_age=self.max_age if change.max_age is None else change.max_age,
            network=change.network or self.network,
        )


class RouteWrapper(Struct, frozen=True, kw_only=True):
    """The body of route requests and replies: ``{"route": {...}}``."""

    route: Route | None = None

    def validate(self) -> None:
        """Raise RoutesMissingNewError without a route, else what the route's own rules raise."""
        if self.route is None:
            raise RoutesMissingNewError(field="route")
        self.route.validate()


class RouteFilter(Struct, frozen=True, kw_only=True):
    """Which routes of an app to list, by path in byte order. ``cursor``: paths after this one. Empty matches all."""

    app_name: str = ""
    image: str = ""
    per_page: int = 30
    cursor: str = ""


class RouteRevision(Struct, frozen=True, kw_only=True):
    """Everything that shapes a function's container, frozen: written once, referred to by calls, never changed."""

    id: bytes
    app_name: str
    path: str
    image: str
    type: str
    format: str
    memory: int
    timeout: int
    idle_timeout: int
    headers: Headers
    base_env: dict[str, str]
    writable_root: bool
    json_framing: str = FRAMING_UNIVERSAL
    body_encoding: str = BODY_TEXT
    retry: RetryPolicy | None = None
    max_age: int | None = None
    network: str = ""

    @classmethod
    def of(cls, app: App, route: Route) -> "RouteRevision":
        """The revision of *route* under *app*'s config; equal content gives the equal id (a SHA-256).

        Raises InvalidConfigError if both configs together are too large for an environment.
        """
        validate_config({**app.config, **route.config}, "route.config")
        unnamed = cls(
            id=b"",
            base_env=base_env(app, route),
            **{
                name: getattr(route, name) for name in cls.__struct_fields__ if name not in ("id", "base_env")
            },
        )
        content = msgspec.json.encode(unnamed, order="deterministic")
        return replace(unnamed, id=hashlib.sha256(content).digest())


def base_env(app: App, route: Route) -> dict[str, str]:
    """Config of app, then of route, then what config may not override (Fn v1: ``-`` in keys becomes ``_``)."""
    config = {key.replace("-", "_"): value for key, value in {**app.config, **route.config}.items()}
    return config | {
        "FN_FORMAT": route.format,
        "FN_APP_NAME": app.name,
        "FN_PATH": route.path,
        "FN_MEMORY": str(route.memory),
        "FN_TYPE": route.type,
    }


def clean_path(path: str) -> str:
    """*path* as routes are stored and looked up: absolute, ``//``, ``.`` and ``..`` resolved, no trailing slash."""
    return posixpath.normpath("/" + path.lstrip("/"))


def normalize_path(path: str) -> str:
    """The stored spelling of a path given in a body: decoded once and cleaned. Raises what validate_path raises."""
    validate_path(path)
    return clean_path(unquote(path))


def validate_path(path: str) -> None:
    """Raise the error of the first broken path rule, in Fn v1's order; holds for stored paths too."""
    if not path:
        raise RoutesMissingPathError(field="route.path")
    if _BAD_ESCAPE.search(path) or path.startswith(":"):
        raise _bad_path(
            PathMalformedError, path, "a % must begin an escape like %20, and : may not come first"
        )
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise _bad_path(PathMalformedError, path, "its escapes must be UTF-8") from error
    if _CONTROL.search(decoded):
        raise _bad_path(PathMalformedError, path, "it may hold no control characters")
    if ":" in decoded:
        raise _bad_path(
            FoundDynamicURLError, path, "it may hold no : (parameters like /:name are not supported)"
        )
    if not path.startswith("/"):
        raise _bad_path(RoutesInvalidPathError, path, f"it must begin with a slash: {shown('/' + path)}")
    # A query, a fragment or a doubly escaped path could never be looked up again; Fn v1 stored such paths, unreachable.
    if set("%?#") & set(decoded):
        raise _bad_path(RoutesInvalidPathError, path, "it may hold no ?, # or escaped %")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise _bad_path(RoutesInvalidPathError, path, f"it may have {MAX_PATH_BYTES} bytes")


def _bad_path(error: type[InvalidError], path: str, wanted: str) -> InvalidError:
    return error(field="route.path", detail=f"got {shown(path)}, but {wanted}")


def validate_headers(headers: Headers, field: str = "route.headers") -> None:
    """Raise InvalidHeadersError for a name or value that HTTP can't carry, and for more than MAX_HEADERS_BYTES."""
    total_bytes = 0
    for name, values in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not all(_HEADER_VALUE.fullmatch(value) for value in values):
            raise InvalidHeadersError(
                field=f"{field}.{name[:MAX_NAMED_CHARS]!r}",
                detail=f"{shown(name)} and its values must be possible in HTTP: a name of letters, digits and -, values"
                " in one line",
            )
        total_bytes += sum(len(name) + len(value.encode()) for value in values)
    if total_bytes > MAX_HEADERS_BYTES:
        raise InvalidHeadersError(f"Route headers may have {MAX_HEADERS_BYTES} bytes together", field=field)


def merge_headers(old: Headers, change: Headers) -> Headers:
    """An empty list deletes the header whatever its case, any other list replaces it; absent headers stay."""
    changed = {name.lower() for name in change}
    kept = {name: values for name, values in old.items() if name.lower() not in changed}
    return kept | {name: values for name, values in change.items() if values}
