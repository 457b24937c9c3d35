"""What holds for every endpoint: the words before the list, the token, common headers and errors."""

from api.descriptions.parts import Failure, Header
from common.errors import (
    APINotSupportedError,
    ForbiddenError,
    ForeignClientError,
    ForeignHostError,
    ForeignOriginError,
    InvokeNotSupportedError,
    MethodNotAllowedError,
    MillraceError,
    PathMalformedError,
    PathNotFoundError,
    RateLimitedError,
    ServiceWorkerRefusedError,
    StoreUnavailableError,
    UnauthorizedError,
)

TEXT = """\
Runs function calls in containers: `POST` a payload to a route and get a call id at once, or wait for what the \
function answers. The api follows the contract of Fn v1: success is 200 (202 for a call that was only accepted), also \
after something was created.

Errors have one shape, `{"error": {"message", "code", "fields"}}`. `message` is for people, `code` is stable and may \
be matched on, `fields` names the field that is wrong. A path that is not known is 404 `path_not_found`, a slash too \
many at its end is redirected. A method that a path does not have is 405 `method_not_allowed`.

Instants are RFC 3339 in UTC with milliseconds. Lists come in pages: `per_page` of them, and `next_cursor` is empty \
when the page was not full. Keys of JSON bodies may have any case; doubled ones are refused. Unknown members \
and query parameters are refused too, but where Fn v1 ignores them: bodies of apps and routes are answered with \
`warnings` then, queries with the header `Millrace-Warning`.\
"""

EVERY_ERROR = (
    PathMalformedError,
    ForeignHostError,
    ForeignOriginError,
    ForeignClientError,
    ServiceWorkerRefusedError,
    MillraceError,
    Failure(400, "http_malformed", "Malformed HTTP request"),
    Failure(431, "head_too_large", "Request head too large"),
    Failure(417, "expectation_unknown", "Expect is x: only 100-continue is known"),
    Failure(
        501, "transfer_coding_unsupported", "Transfer-Encoding is gzip, chunked: only chunked is understood"
    ),
)
ELSEWHERE = (PathNotFoundError, MethodNotAllowedError)
TOKEN_ERRORS = (UnauthorizedError, ForbiddenError, RateLimitedError, StoreUnavailableError)
# Of an api process that serves only the other half.
PART_ERRORS = {"v1": APINotSupportedError, "r": InvokeNotSupportedError}

LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}

AUTHORIZATION = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "`Authorization: Bearer mr_…`, a token of one of the scopes that are named: `admin` may do everything; `app`"
        " everything inside one app; `invoke` may call one app's functions and follow the calls. None is needed before"
        " the first one is made, and none by a route that is `public`; without any, only this machine is served."
    ),
}

EVERY_ANSWER = (
    Header(
        "X-Request-Id",
        "Of the request, if it had a sound one, else made up; every log line of the request carries it.",
        "5d0bfbf3e84f4a2f9d2c0e7a8c1b6d11",
    ),
)
AUTHENTICATE = Header("WWW-Authenticate", "What a token is sent as.", "Bearer")
RETRY_AFTER = Header("Retry-After", "Seconds after which asking again may help.", "5")
