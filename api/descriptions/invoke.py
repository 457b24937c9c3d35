"""The descriptions of /r: taking calls."""

from typing import Annotated

from msgspec import Meta

from api.answers import Accepted
from api.descriptions.examples import CALL_ID, links_of_call
from api.descriptions.headers import FN_CALL_ID, IDEMPOTENCY_KEY, REPLAYED, TRACEPARENT
from api.descriptions.parts import (
    ANY,
    BODY_ERRORS,
    Content,
    Description,
    Descriptions,
    Failure,
    Header,
    Parameter,
    json,
)
from api.handlers import invoke
from api.replies import NOT_STARTED
from common.errors import (
    AppCallsFullError,
    AppsBeingRemovedError,
    AppsMissingNameError,
    AppsNotFoundError,
    AppStorageFullError,
    AppSyncCallsFullError,
    BodyNotTextError,
    CallTimeoutError,
    CallTimeoutServerBusyError,
    HostMalformedError,
    IdempotencyKeyReusedError,
    InvalidConfigError,
    InvalidDelayError,
    InvalidIdempotencyKeyError,
    InvalidPriorityError,
    PriorityNotAllowedError,
    QueueFullError,
    QueuePausedError,
    QueueUnavailableError,
    RoutesNotFoundError,
    ShuttingDownError,
    StoreUnavailableError,
)
from common.models import MAX_DELAY_S, MAX_PRIORITY, Detail, Reason

# 503, 504, and what becomes of async calls only.
_NOT_502 = frozenset(
    {*NOT_STARTED, Detail.RUN_TIMEOUT, Detail.NO_ANSWER, Detail.EXPIRED, Detail.RESULT_NOT_STORED}
)
FUNCTION_FAILURES = tuple(
    Failure(502, code, "Function failed")
    for code in (
        *(detail for detail in Detail if detail not in _NOT_502),
        *(reason for reason in Reason if reason is not Reason.TIMEOUT),
        "function_failed",
    )
)

PRIORITY = Parameter(
    "Millrace-Priority",
    Annotated[int, Meta(ge=0, le=MAX_PRIORITY, extra_json_schema={"default": 0})],
    "Async calls only: higher ones come first.",
    2,
)
DELAY = Parameter(
    "Millrace-Delay",
    Annotated[int, Meta(ge=0, le=MAX_DELAY_S, extra_json_schema={"default": 0})],
    "Async calls only: how many seconds the call waits before its turn can come.",
    10,
)
PREFER = Parameter("Prefer", str, "`respond-async` makes an async call of a sync route's.", "respond-async")
SERVER_TIMING = Header(
    "Server-Timing",
    "How many ms the call waited, started and ran, as far as that is known, and all of it.",
    "queue;dur=1.2, start;dur=0.3, run;dur=4.7, total;dur=6.9",
)
PREFERENCE_APPLIED = Header("Preference-Applied", "That the call of a sync route is async.", "respond-async")
IGNORED = Header(
    "Millrace-Ignored",
    "What a request without a token asked for, and can't have: a public route's callers have no say in the queue.",
    "Millrace-Priority, Millrace-Delay",
)

DESCRIPTIONS: Descriptions = {
    invoke.invoke: Description(
        text=(
            "An async route answers 202 once the call is stored; it runs at least once. A sync route answers with"
            " what its function answers: status, headers and body as they are; it runs at most once. An error with"
            " status 503 says that it did not run and will not; after 502 and 504 it may have run."
        ),
        headers=(PRIORITY, DELAY, IDEMPOTENCY_KEY, PREFER, TRACEPARENT),
        body=Content(
            text="What the function reads, as bytes. At most 10 MiB unless set otherwise.",
            examples={ANY: b"some text"},
            is_required=False,
        ),
        answers={
            "200": Content(
                text="What the function answered.",
                examples={ANY: b"SOME TEXT"},
                headers=(FN_CALL_ID, SERVER_TIMING, IGNORED),
            ),
            "default": Content(
                text="Any other status: the function answered with it, unless the body is one of the errors here.",
                examples={ANY: b"no such page"},
            ),
            "202": json(
                Accepted(call_id=CALL_ID),
                headers=(FN_CALL_ID, REPLAYED, PREFERENCE_APPLIED, IGNORED),
                links=links_of_call("$response.body#/call_id"),
            ),
        },
        errors=(
            *BODY_ERRORS,
            AppsMissingNameError,
            AppsNotFoundError,
            RoutesNotFoundError,
            InvalidConfigError,
            HostMalformedError,
            InvalidPriorityError,
            PriorityNotAllowedError,
            InvalidDelayError,
            InvalidIdempotencyKeyError,
            IdempotencyKeyReusedError,
            BodyNotTextError,
            AppsBeingRemovedError,
            QueueFullError,
            AppCallsFullError,
            AppStorageFullError,
            AppSyncCallsFullError,
            QueueUnavailableError,
            StoreUnavailableError,
            CallTimeoutServerBusyError,
            QueuePausedError,
            ShuttingDownError,
            CallTimeoutError,
            *FUNCTION_FAILURES,
        ),
    ),
}
