"""Settings of api and worker: ``MILLRACE_*`` variables, parsed and checked in this one place.

A misspelt name or a bad value stops the start with a message that names the variable. Nothing else in the project
reads the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct, inspect

from common.engine import DEFAULT_SOCKET, engine_address
from common.errors import SettingsError
from common.service_links import is_service_link
from common.wording import choice, did_you_mean, one_line, shown

PREFIX = "MILLRACE_"
LEASE_MIN_S = 1.0

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Priority = Annotated[int, Meta(ge=0, le=2)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Days = Annotated[float, Meta(gt=0, le=3650)]
Hours = Annotated[float, Meta(gt=0, le=87600)]
Directory = Annotated[str, Meta(pattern="^/", description="an absolute path, as /var/lib/millrace")]
OptionalDirectory = Annotated[str, Meta(pattern="^(/|$)", description="an absolute path, or nothing")]
KeyPart = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="1 to 64 letters, digits, `_`, `.` and `-`")
]
Rate = Annotated[float, Meta(ge=0, le=1e6)]
_ORIGIN = r"https?://[A-Za-z0-9.\[\]:_-]+"
_ORIGINS = "origins without a path, separated by commas, as https://app.example, or *"
Origins = Annotated[str, Meta(pattern=rf"^(\*|{_ORIGIN}( *, *{_ORIGIN})*)?\Z", description=_ORIGINS)]
Url = Annotated[str, Meta(pattern=r"^(https?://\S+)?\Z", description="an address, as http://127.0.0.1:8080")]
_HOST = r"(\*|(\*\.)?[A-Za-z0-9.\[\]:_-]+)"
_REGISTRIES = "hosts, separated by commas, as docker.io, *.example.com, or *"
Registries = Annotated[str, Meta(pattern=rf"^({_HOST}( *, *{_HOST})*)?\Z", description=_REGISTRIES)]
Secret = Annotated[
    str, Meta(pattern=r"^[\x21-\x7e]{0,512}\Z", description="at most 512 visible ASCII characters")
]

_UNITS = {
    "_per_s": " a second",
    "_s": " of seconds",
    "_days": " of days",
    "_hours": " of hours",
    "_mb": " of MiB",
}
_NOT_SHOWN = ("token", "url")  # how names of settings end whose values may hold a secret


def default_data_dir() -> str:
    """Where `millrace up` keeps its servers' data: a system place for root, else one of the user's own."""
    if os.geteuid() == 0:
        return "/var/lib/millrace"
    return str(Path.home() / ".local" / "share" / "millrace")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, by the part that reads it. ``_s`` seconds, ``_days``, ``_hours``, ``_mb`` MiB, ``_bytes``."""

    # where the records and the queue are; empty only for `millrace up`, which starts servers of its own
    database_url: str = ""
    database_pool_max: Annotated[int, Meta(ge=3, le=1000)] = 8  # connections to Postgres of each process
    redis_url: str = ""
    data_dir: Directory = msgspec.field(default_factory=default_data_dir)
    queue_name: KeyPart = "default"

    # the api
    host: str = "127.0.0.1"
    port: Port = 8080
    serve: Literal["all", "v1", "r"] = "all"  # what of it: /v1 only, /r only, or both
    functions_own_origin: bool = False  # only with serve=r: this address serves nothing but functions
    cors_origins: Origins = ""  # pages that may ask from a browser, comma separated, or *
    rate_limit_per_s: Rate = 0  # requests per token, or per client address without one; 0: no limit
    rate_limit_burst: Positive = 50  # how many at once, after a rest
    anonymous_rate_limit_per_s: Rate = 50  # per address, of requests without a valid token where tokens exist
    anonymous_rate_limit_burst: Positive = 200
    app_max_priority: Priority = 2  # what a token of scope app may give its calls
    invoke_max_priority: Priority = 1
    connections_max: Positive = 10_000  # at once, as far as the limit of open files allows
    body_max_bytes: Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)] = 10 * 1024 * 1024
    body_stall_s: Seconds = 10  # a body that brings less than 16 KiB in this time is given up
    queue_max_calls: Positive = 1_000_000

    # what there may be in all, and of one app: routes, async calls that have not ended, what is stored of its calls
    apps_max: Positive = 10_000
    app_max_routes: Positive = 1000
    app_max_calls: Positive = 500_000
    app_max_stored_mb: Positive = 10 * 1024
    app_max_sync_calls: NotNegative = (
        0  # under way in one api; 0: 16 for each slot of all workers, at least 256
    )
    reconcile_interval_s: Seconds = 10
    no_capacity_grace_s: Seconds = 300  # how long a call waits for a worker that is large enough

    # how long calls are kept after they ended (results and logs go with their calls, or before), and keys of requests
    calls_keep_days: Days = 7
    results_keep_days: Days = 7
    logs_keep_days: Days = 7
    idempotency_keys_keep_hours: Hours = 24

    # how long a process that is told to end lets calls come to their end: a worker those that it runs, an api those
    # that it answers
    drain_s: Seconds = 30

    # attempts and leases
    lease_s: Seconds = 30
    max_attempts: Positive = 5

    # sync calls: how long image, container and start may take together, before the function's own time begins
    start_timeout_s: Seconds = 60

    # the worker
    worker_host: str = "127.0.0.1"
    worker_port: Port = 8081
    worker_slots: NotNegative = 0  # 0: twice the number of cores
    worker_memory_mb: NotNegative = 0  # 0: what the machine has, less a head room
    worker_sync_min_slots: NotNegative = 1  # kept free for sync calls, at most a quarter of the slots
    worker_async_min_slots: NotNegative = (
        1  # for async calls first while any wait, likewise; none stays empty for them
    )
    heartbeat_s: Seconds = 5
    heartbeat_stale_s: Seconds = 20
    spool_dir: OptionalDirectory = ""  # where outcomes wait while Postgres is away; without it, in data_dir
    spool_max_mb: Positive = 1024

    # hot containers: how many at most (0: as many as there is memory for); idle ones that are not in steady use are
    # paused after a time (0: never)
    hot_max_containers: NotNegative = 0
    hot_max_per_route: NotNegative = 0
    hot_pause_after_s: Annotated[float, Meta(ge=0, le=86400)] = 1

    # images: api and workers need the same of the first two
    registries: Registries = (
        "docker.io"  # from which images are pulled: hosts, comma separated; *.example.com, *
    )
    local_images: str = (
        "*"  # which of those that the worker did not pull itself: names, comma separated; me/*, *
    )
    image_max_mb: Positive = 10 * 1024  # of an image that is pulled
    disk_min_free_mb: NotNegative = (
        2048  # with less, pulled images are removed, least recently used first; 0: never
    )

    # function containers
    docker_socket: str = (
        DEFAULT_SOCKET  # the engine's; without the variable, where DOCKER_HOST or the context says
    )
    # bridge: they reach the internet, unless their route says none. optional: they reach nothing, unless their route
    # says internet. none: they reach nothing. Firewall rules keep them from this machine and link-local addresses.
    network: Literal["bridge", "none", "optional"] = "bridge"
    network_private: bool = (
        False  # whether they reach private networks (10.0.0.0/8, 192.168.0.0/16, fc00::/7, ...)
    )
    # auto: a worker that can't set firewall rules says so and goes on; required: it takes no calls; off: it sets none
    network_firewall: Literal["auto", "required", "off"] = "auto"
    result_max_bytes: Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)] = 10 * 1024 * 1024
    log_max_bytes: Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)] = 1024 * 1024
    # how fast stderr of a container is read after the first 2 MiB; faster functions wait
    log_max_bytes_per_s: Annotated[int, Meta(ge=64 * 1024)] = 16 * 1024 * 1024
    tmpfs_mb: Positive = 64
    pids_limit: Positive = 256
    # which system calls they may make: millrace's profile has no io_uring and few kinds of sockets; engine: its own
    seccomp: Literal["millrace", "engine"] = "millrace"
    writable_root_mb: Positive = 1024  # what a container whose route has a writable root may write
    cpus_per_container: Annotated[float, Meta(ge=0, le=1024)] = 1  # cores' worth of CPU time; 0: no limit

    # the command line: where the api is, and the token to show it
    url: Url = ""  # without it: `host` and `port`, else where `millrace up` says that it listens
    token: Secret = ""

    # what the processes say
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that *environ* asks for. Raises SettingsError naming the variable that is unknown or bad."""
    given = {
        name.removeprefix(PREFIX): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not is_service_link(name.removeprefix(PREFIX), value)
    }
    known = [PREFIX + name.upper() for name in Settings.__struct_fields__]
    for name in given:
        if PREFIX + name not in known:
            spelt = PREFIX + name
            raise SettingsError(
                f"{one_line(spelt)} is not a setting.{did_you_mean(spelt, known)}", field=spelt
            )
    values = {}
    for name, value in given.items():
        values[name.lower()] = value
        _parse({name.lower(): value})
    values["docker_socket"] = engine_address(environ)
    settings = _parse(values)
    _check_times(settings)
    _check_origin(settings)
    return settings


def _parse(values: dict[str, str]) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        name = next(iter(values))
        variable = PREFIX + name.upper()
        raise SettingsError(f"{variable}: {_wrong(name, values[name])}", field=variable) from error


def _wrong(name: str, value: str) -> str:
    """What came, and what is wanted. A secret is not repeated, nor a URL, which may hold a password."""
    choices = get_args(get_type_hints(Settings)[name])
    if choices:
        return choice(value, map(str, choices))
    came = "the value" if name.endswith(_NOT_SHOWN) else f"got {shown(value)}, but it"
    return f"{came} must be {_wanted(name)}"


def _wanted(name: str) -> str:
    """What a value of this setting must be, in words: as its type describes it, else a number within its bounds."""
    info = inspect.type_info(Settings)
    kinds = {field.name: field.type for field in info.fields} if isinstance(info, inspect.StructType) else {}
    kind = kinds[name]
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "another value"))
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if not isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return "another value"
    number = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    bounds = [
        (f"above {kind.gt:.15g}" if kind.gt is not None else ""),
        (f"at least {kind.ge:.15g}" if kind.ge is not None else ""),
        (f"at most {kind.le:.15g}" if kind.le is not None else ""),
    ]
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    return f"{number}{unit}, {' and '.join(bound for bound in bounds if bound)}"


def _check_times(settings: Settings) -> None:
    """A lease is extended three times while it lasts, and a heartbeat may come late: both need room.

    An idempotency key must not outlive its call: it would name one that is gone.
    """
    if settings.lease_s < LEASE_MIN_S:
        variable = PREFIX + "LEASE_S"
        raise SettingsError(
            f"{variable}: got {settings.lease_s:g}, but it must be at least {LEASE_MIN_S:g}", field=variable
        )
    if settings.heartbeat_stale_s < 2 * settings.heartbeat_s:
        variable = PREFIX + "HEARTBEAT_STALE_S"
        raise SettingsError(
            f"{variable}: got {settings.heartbeat_stale_s:g}, but it must be at least twice {PREFIX}HEARTBEAT_S, which"
            f" is {settings.heartbeat_s:g}",
            field=variable,
        )
    if settings.idempotency_keys_keep_hours > 24 * settings.calls_keep_days:
        variable = PREFIX + "IDEMPOTENCY_KEYS_KEEP_HOURS"
        raise SettingsError(
            f"{variable}: got {settings.idempotency_keys_keep_hours:g}, but it must not be longer than"
            f" {PREFIX}CALLS_KEEP_DAYS, of {settings.calls_keep_days:g} days",
            field=variable,
        )


def _check_origin(settings: Settings) -> None:
    """Pages of functions may only have an origin that the rest of the api is not on."""
    if settings.functions_own_origin and settings.serve != "r":
        variable = PREFIX + "FUNCTIONS_OWN_ORIGIN"
        raise SettingsError(f"{variable}: needs {PREFIX}SERVE=r", field=variable)


def wants_color(environ: Mapping[str, str]) -> bool:
    """Whether a person at a terminal wants colours (https://no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def require_servers(settings: Settings) -> None:
    """Raise SettingsError unless both server addresses are set: api and worker can't do without."""
    for name in ("database_url", "redis_url"):
        if not getattr(settings, name):
            variable = PREFIX + name.upper()
            raise SettingsError(
                f"{variable} is not set (`millrace up` starts servers of its own)", field=variable
            )
