"""What the api answers about apps, routes and calls: the types that are encoded, and that its description comes from.

A member that may be missing is ``UNSET`` then, never null. Descriptions here are for the readers of the description.
Nothing here reads a request or a store; schemas.py turns apps, routes and calls into these. The rest: overviews.py.
"""

from typing import Annotated, TypeVar
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from common.models import (
    FORMAT_DEFAULT,
    FORMAT_HTTP,
    FORMAT_JSON,
    TYPE_ASYNC,
    TYPE_SYNC,
    CallStatus,
    ErrorBody,
    Reason,
    RetryPolicy,
)

T = TypeVar("T")

Timestamp = Annotated[
    str,
    Meta(
        description="RFC 3339 in UTC with exactly 3 digits of a second's fraction.",
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        examples=["2018-01-10T12:34:56.789Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Cursor = Annotated[str, Meta(description="Where the next page begins; empty when this page is not full.")]
ShownConfig = Annotated[
    dict[str, str] | UnsetType, Meta(description="Becomes environment. Left out when empty.")
]


# -- apps, routes ------------------------------------------------------------------------------------------------


class App(Struct, frozen=True, kw_only=True):
    """A namespace of routes."""

    name: str
    config: ShownConfig = UNSET
    created_at: Timestamp | UnsetType = UNSET
    updated_at: Timestamp | UnsetType = UNSET


class Route(Struct, frozen=True, kw_only=True):
    """A path of an app, with the image and the limits of its function."""

    app_name: str
    path: str
    image: str
    memory: Annotated[int, Meta(description="MB.")]
    headers: Annotated[
        dict[str, list[str]] | UnsetType, Meta(description="Stand in every answer of its calls.")
    ] = UNSET
    type: Annotated[str, Meta(extra_json_schema={"enum": [TYPE_SYNC, TYPE_ASYNC]})]
    format: Annotated[str, Meta(extra_json_schema={"enum": [FORMAT_DEFAULT, FORMAT_HTTP, FORMAT_JSON]})]
    timeout: Annotated[int, Meta(description="Seconds that a call may run.")]
    idle_timeout: Annotated[int, Meta(description="Seconds that a hot container may idle.")]
    config: ShownConfig = UNSET
    writable_root: Annotated[
        bool | UnsetType, Meta(description="Whether the container's root can be written to. Left out if not.")
    ] = UNSET
    json_framing: Annotated[str | UnsetType, Meta(description="Left out for `universal`.")] = UNSET
    body_encoding: Annotated[str | UnsetType, Meta(description="Left out for `text`.")] = UNSET
    public: Annotated[
        bool | UnsetType, Meta(description="Whether it may be called without a token. Left out if not.")
    ] = UNSET
    retry: Annotated[
        RetryPolicy | UnsetType, Meta(description="Async calls only. Left out if none is tried again.")
    ] = UNSET
    max_age: Annotated[
        int | UnsetType, Meta(description="Seconds after which no async call is started any more.")
    ] = UNSET
    network: Annotated[
        str | UnsetType, Meta(description="What its containers reach. Left out for the operator's default.")
    ] = UNSET
    created_at: Timestamp | UnsetType = UNSET
    updated_at: Timestamp | UnsetType = UNSET


# -- calls -------------------------------------------------------------------------------------------------------


class Stat(Struct, frozen=True, kw_only=True):
    """One sample of what a call used. Bytes, but `cpu_*` in percent of one core."""

    timestamp: Timestamp
    metrics: dict[str, int]


class Call(Struct, frozen=True, kw_only=True):
    """One requested execution of a route. What is not known yet, or empty, is left out; its input is never shown."""

    id: UUID
    parent_id: Annotated[
        UUID | UnsetType, Meta(description="The call that this one is a retry or a requeue of.")
    ] = UNSET
    status: CallStatus
    reason: Annotated[Reason | UnsetType, Meta(description="Why it is `error` or `cancelled`.")] = UNSET
    detail: Annotated[str | UnsetType, Meta(description="A finer reason, such as `oom_killed`.")] = UNSET
    error: Annotated[str | UnsetType, Meta(description="The reason for people.")] = UNSET
    last_detail: Annotated[
        str | UnsetType,
        Meta(description="While it waits to be tried again: the `detail` of its last attempt."),
    ] = UNSET
    last_error: Annotated[str | UnsetType, Meta(description="And its `error`.")] = UNSET
    exit_code: int | UnsetType = UNSET
    app_name: str
    path: str
    type: str | UnsetType = UNSET
    priority: Annotated[int, Meta(description="0 to 2; higher ones come first.")]
    delay: Annotated[int | UnsetType, Meta(description="Seconds that it was to wait.")] = UNSET
    timeout: Annotated[int | UnsetType, Meta(description="Seconds that it may run, if not its route's.")] = (
        UNSET
    )
    attempt: Annotated[int, Meta(description="How often a worker has claimed it.")]
    cold: Annotated[bool | UnsetType, Meta(description="Whether a container was started for this call.")] = (
        UNSET
    )
    created_at: Timestamp | UnsetType = UNSET
    due_at: Timestamp | UnsetType = UNSET
    claimed_at: Timestamp | UnsetType = UNSET
    started_at: Timestamp | UnsetType = UNSET
    completed_at: Timestamp | UnsetType = UNSET
    stats: list[Stat] | UnsetType = UNSET


class Log(Struct, frozen=True, kw_only=True):
    """What a call wrote to stderr; bytes that are no UTF-8 are replaced."""

    call_id: UUID
    log: str
    app_name: str


# -- whole answers -----------------------------------------------------------------------------------------------


class FieldWarning(Struct, frozen=True, kw_only=True):
    """What was ignored of the request, and what was probably meant."""

    field: str
    message: str


Warnings = Annotated[
    list[FieldWarning] | UnsetType,
    Meta(description="What was ignored of the request; left out if nothing was."),
]


class Done(Struct, frozen=True, kw_only=True):
    """It is done."""

    message: str


class AppAnswer(Struct, frozen=True, kw_only=True):
    """One app."""

    message: str
    app: App
    warnings: Warnings = UNSET


class AppList(Struct, frozen=True, kw_only=True):
    """Apps by name."""

    message: str
    next_cursor: Cursor
    apps: list[App]


class RouteAnswer(Struct, frozen=True, kw_only=True):
    """One route."""

    message: str
    route: Route
    warnings: Warnings = UNSET


class RouteList(Struct, frozen=True, kw_only=True):
    """Routes of an app by path."""

    message: str
    next_cursor: Cursor
    routes: list[Route]


class CallAnswer(Struct, frozen=True, kw_only=True):
    """One call."""

    message: str
    call: Call


class CallList(Struct, frozen=True, kw_only=True):
    """Calls of an app, newest first."""

    message: str
    next_cursor: Cursor
    calls: list[Call]


class LogAnswer(Struct, frozen=True, kw_only=True):
    """The log of a final call."""

    message: str
    log: Log


class Accepted(Struct, frozen=True, kw_only=True):
    """The call is stored: it will run, and its status can be read."""

    call_id: UUID


class Retried(Struct, frozen=True, kw_only=True):
    """A new call of an old one."""

    call_id: UUID
    parent_id: UUID


class RequeuedCall(Struct, frozen=True, kw_only=True):
    """A dead call, and the new one that was made of it."""

    id: UUID
    call_id: UUID


HasMore = Annotated[bool, Meta(description="Whether some are left: ask again.")]


class Requeued(Struct, frozen=True, kw_only=True):
    """How many dead calls came back."""

    requeued: int
    calls: list[RequeuedCall]
    has_more: HasMore


class Purged(Struct, frozen=True, kw_only=True):
    """How many dead calls are gone."""

    purged: int
    has_more: HasMore


class Submission(Struct, frozen=True, kw_only=True):
    """What became of one of many calls: 202 with its id, or an error's status with the error."""

    status: int
    call_id: UUID | UnsetType = UNSET
    replayed: Annotated[
        bool | UnsetType, Meta(description="That an earlier request of the same key had made it.")
    ] = UNSET
    error: ErrorBody | UnsetType = UNSET


class Submissions(Struct, frozen=True, kw_only=True):
    """What became of each of many calls, in their order."""

    results: list[Submission]


class Event(Struct, frozen=True, kw_only=True):
    """The fields of one server-sent event. After a reconnect, `Last-Event-ID` says which one came last."""

    event: Annotated[str, Meta(extra_json_schema={"const": "status"})]
    id: str
    data: Annotated[
        str,
        Meta(
            description="The call, as JSON.",
            extra_json_schema={
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/components/schemas/Call"},
            },
        ),
    ]


def known(value: T | None) -> T | UnsetType:
    """*value*, or UNSET for None: an answer leaves out what is not known."""
    return UNSET if value is None else value
