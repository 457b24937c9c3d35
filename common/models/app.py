"""App: the namespace of routes, with configuration that reaches all of them. Knows its own rules, not its storage."""

import re
from datetime import datetime
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from common.errors import (
    AppsInvalidNameError,
    AppsMissingNameError,
    AppsMissingNewError,
    AppsTooLongNameError,
    InvalidConfigError,
)
from common.wording import shown

MAX_APP_NAME_BYTES = 30
# No process can be given a variable of more than 128 KiB, nor, with its arguments, much more than 1 MiB of them all.
MAX_VARIABLE_BYTES = 64 * 1024  # key and value
MAX_ENVIRONMENT_BYTES = 512 * 1024  # of app and route together
MAX_NAMED_CHARS = 100  # of a bad key, in the field that an error names

_APP_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

Config = dict[str, str]


class App(Struct, frozen=True, kw_only=True):
    """A namespace of routes. ``config`` reaches every function of the app as environment."""

    name: str = ""
    config: Config = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def set_defaults(self, now: datetime) -> Self:
        """A copy with unset times replaced by one reading of the clock, so that both are equal at creation."""
        return replace(self, created_at=self.created_at or now, updated_at=self.updated_at or now)

    def validate(self) -> None:
        """Raise the first broken rule: a name of 1 to 30 letters, digits, ``_`` and ``-``; sound config."""
        validate_app_name(self.name)
        validate_config(self.config, "app.config")


class AppWrapper(Struct, frozen=True, kw_only=True):
    """The body of app requests and replies: ``{"app": {...}}``."""

    app: App | None = None

    def validate(self) -> None:
        """Raise AppsMissingNewError without an app, else what the app's own rules raise."""
        if self.app is None:
            raise AppsMissingNewError(field="app")
        self.app.validate()


class AppFilter(Struct, frozen=True, kw_only=True):
    """Which apps to list, by name in byte order. ``cursor``: names after this one. Empty values match all."""

    name: str = ""
    name_in: tuple[str, ...] = ()
    per_page: int = 30
    cursor: str = ""


def validate_app_name(name: str) -> None:
    """Raise the error of the first broken name rule, in Fn v1's order."""
    if not name:
        raise AppsMissingNameError(field="app.name")
    if len(name.encode()) > MAX_APP_NAME_BYTES:
        raise AppsTooLongNameError(
            field="app.name", detail=f"got {shown(name)} of {len(name.encode())} bytes"
        )
    if not _APP_NAME.fullmatch(name):
        raise AppsInvalidNameError(
            field="app.name", detail=f"got {shown(name)}, but it must be letters, digits, _ and -"
        )


def validate_config(config: Config, field: str) -> None:
    """Config becomes environment: keys must be usable as variable names, NUL can be passed to no process.

    Raises InvalidConfigError, also for what is too large for one.
    """
    total_bytes = 0
    for key, value in config.items():
        named = f"{field}.{key[:MAX_NAMED_CHARS]!r}"
        if not key or "=" in key or "\0" in key or "\0" in value:
            raise InvalidConfigError(field=named, detail=f"wrong is the key {shown(key)}, or its value")
        size_bytes = len(key.encode()) + len(value.encode())
        if size_bytes > MAX_VARIABLE_BYTES:
            raise InvalidConfigError(
                f"A config key and its value may have {MAX_VARIABLE_BYTES} bytes together", field=named
            )
        total_bytes += size_bytes
    if total_bytes > MAX_ENVIRONMENT_BYTES:
        raise InvalidConfigError(
            f"The config of an app and its route may have {MAX_ENVIRONMENT_BYTES} bytes together", field=field
        )


def merge_config(old: Config, change: Config) -> Config:
    """Fn v1's merge: an empty value deletes its key, any other value sets it, absent keys stay."""
    merged = {**old, **change}
    return {key: value for key, value in merged.items() if value or key not in change}
