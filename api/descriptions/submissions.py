"""The description of POST /v1/apps/{app}/calls."""

from api.answers import Accepted, Submission, Submissions
from api.call_bodies import NewCall, NewCalls
from api.descriptions.examples import CALL_ID, links_of_call
from api.descriptions.headers import IDEMPOTENCY_KEY, LOCATION, REPLAYED, TRACEPARENT
from api.descriptions.parts import JSON, JSON_ERRORS, Content, Description, Descriptions, Either, json
from api.handlers import submissions
from common.errors import (
    AppCallsFullError,
    AppsBeingRemovedError,
    AppsMissingNameError,
    AppsNotFoundError,
    AppStorageFullError,
    BodyNotTextError,
    FoundDynamicURLError,
    HostMalformedError,
    IdempotencyKeyReusedError,
    InvalidCallHeadersError,
    InvalidCallsError,
    InvalidConfigError,
    InvalidDelayError,
    InvalidIdempotencyKeyError,
    InvalidMethodError,
    InvalidPriorityError,
    InvalidTimeoutError,
    PathMalformedError,
    PriorityNotAllowedError,
    QueueFullError,
    RoutesInvalidPathError,
    RoutesMissingPathError,
    RoutesNotFoundError,
    StoreUnavailableError,
    UnknownFieldError,
)
from common.models import ErrorBody

ONE = NewCall(path="/upper", payload="some text", priority=2)
MANY = NewCalls(calls=[NewCall(path="/upper", payload="some text"), NewCall(path="/nothing", payload="else")])

DESCRIPTIONS: Descriptions = {
    submissions.submit_calls: Description(
        text=(
            "One call answers 202; up to 1000 `calls` answer 200, with a result for each. A field that is not known is"
            " refused. After a 503 a call may be stored all the same: submit it again with the same key."
        ),
        headers=(IDEMPOTENCY_KEY, TRACEPARENT),
        body=Content(
            text="One call, or many. At most 32 MiB.", examples={JSON: Either({"one": ONE, "many": MANY})}
        ),
        answers={
            "200": json(
                Submissions(
                    results=[
                        Submission(status=202, call_id=CALL_ID),
                        Submission(
                            status=404, error=ErrorBody(message="Route not found", code="route_not_found")
                        ),
                    ]
                )
            ),
            "202": json(
                Accepted(call_id=CALL_ID),
                headers=(LOCATION, REPLAYED),
                links=links_of_call("$response.body#/call_id"),
            ),
        },
        errors=(
            *JSON_ERRORS,
            UnknownFieldError,
            HostMalformedError,
            InvalidCallsError,
            RoutesMissingPathError,
            PathMalformedError,
            FoundDynamicURLError,
            RoutesInvalidPathError,
            InvalidMethodError,
            InvalidPriorityError,
            PriorityNotAllowedError,
            InvalidDelayError,
            InvalidTimeoutError,
            InvalidCallHeadersError,
            InvalidIdempotencyKeyError,
            IdempotencyKeyReusedError,
            AppsMissingNameError,
            AppsNotFoundError,
            RoutesNotFoundError,
            InvalidConfigError,
            BodyNotTextError,
            AppsBeingRemovedError,
            QueueFullError,
            AppCallsFullError,
            AppStorageFullError,
            StoreUnavailableError,
        ),
    ),
}
