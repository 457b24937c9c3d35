"""Around every handler: a request id, sound response headers, and errors turned into the uniform Error body.

Holds the only map from error slugs to HTTP status codes: domain errors know nothing of HTTP. An error that is not ours
shows nothing of itself (500, internal server error). Who may ask at all is decided in access.py.
"""

import asyncio
import math
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from api.headers import ANSWER_HEADERS
from api.sandbox import OWN_ORIGIN, seal
from api.schemas import json_response
from common.errors import (
    ConflictError,
    InvalidError,
    MethodNotAllowedError,
    MillraceError,
    NotFoundError,
    PathNotFoundError,
    QuotaExceededError,
    RateLimitedError,
    UnavailableError,
)
from common.models import Error, ErrorBody, request_id_from
from common.telemetry.logs import get_logger
from common.wording import one_line

STATUS_BY_KIND: dict[type[MillraceError], int] = {
    InvalidError: 400,
    NotFoundError: 404,
    ConflictError: 409,
    UnavailableError: 503,
}
STATUS_BY_SLUG = {
    "app_calls_full": 429,
    "app_storage_full": 429,
    "app_sync_calls_full": 429,
    "body_not_text": 415,
    "body_too_large": 413,
    "call_timeout": 504,
    "forbidden": 403,
    "foreign_client": 403,
    "foreign_host": 403,
    "foreign_origin": 403,
    "idempotency_key_reused": 422,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "priority_not_allowed": 403,
    "rate_limited": 429,
    "route_image_not_allowed": 403,
    "route_writable_root_not_allowed": 403,
    "service_worker_refused": 403,
    "unauthorized": 401,
}
RETRY_AFTER_S = {"server_busy": 15, "queue_full": 15, "queue_paused": 15, "record_pending": 1}
RETRY_AFTER_DEFAULT_S = 5

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id")

# Set once the process ends: each answer is the last one on its connection then.
STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping")

_log = get_logger("http")


class APIError(Exception):
    """An error that carries the status code of its answer. ``code`` is a stable slug, ``field`` names the bad field.

    ``retry_after_s``: when asking again may help; None where that is not known.
    """

    def __init__(
        self, status: int, message: str, *, code: str = "", field: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.field = field
        if retry_after_s is None and status == 503:
            retry_after_s = RETRY_AFTER_S.get(code, RETRY_AFTER_DEFAULT_S)
        self.retry_after_s = retry_after_s


def new_api_error(status: int, error: Exception) -> APIError:
    """*error* as the answer with *status*, with its text as message and, if it is one of ours, its slug and field."""
    if isinstance(error, MillraceError):
        after_s = None
        if isinstance(error, RateLimitedError | QuotaExceededError):
            after_s = max(1, math.ceil(error.retry_after_s))
        return APIError(status, error.message, code=error.slug, field=error.field, retry_after_s=after_s)
    return APIError(status, str(error))


def api_error_of(error: MillraceError) -> APIError:
    """The answer to one of our errors. What has no status of its own is an internal error, and says nothing more."""
    status = STATUS_BY_SLUG.get(error.slug) or _status_by_kind(error)
    return new_api_error(status, MillraceError() if status == 500 else error)


def _status_by_kind(error: MillraceError) -> int:
    return next((status for kind, status in STATUS_BY_KIND.items() if isinstance(error, kind)), 500)


def error_body(error: APIError) -> ErrorBody:
    """What an answer says of the error."""
    return ErrorBody(message=error.message, code=error.code, fields=error.field)


def error_response(error: APIError) -> web.Response:
    """The uniform Error body, with Retry-After where asking later may help, and word of what a token has to be."""
    response = json_response(Error(error=error_body(error)), status=error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@web.middleware
async def finish(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, which every log line of it carries, and the response its common headers."""
    request_id = request[REQUEST_ID] = request_id_from(request.headers)
    started_s = time.perf_counter()
    structlog.contextvars.clear_contextvars()  # of the request before, on this connection
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await handler(request)
        elapsed_ms = round((time.perf_counter() - started_s) * 1000, 1)
        _log.debug(
            "answered", method=request.method, path=request.path, status=response.status, ms=elapsed_ms
        )
    if not response.prepared:
        finish_headers(request, response)
    return response


def finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every response has; a streamed one gets them before it begins."""
    if request.app[STOPPING].is_set():
        response.force_close()
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["Server"] = "millrace"
    ours = {name.lower() for name in response.headers}
    for name, value in request.get(ANSWER_HEADERS, []):
        if name.lower() not in ours:
            response.headers.add(name, value)
    seal(response, is_own_origin=request.app[OWN_ORIGIN])


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into an answer; what nobody expected is logged with its traceback."""
    try:
        return await handler(request)
    except APIError as error:
        return error_response(error)
    except MillraceError as error:
        answer = api_error_of(error)
        if answer.status == 500:
            _log.exception("unexpected error", method=request.method, path=request.path)
        return error_response(answer)
    except web.HTTPNotFound:
        return await _unknown_path(request)
    except web.HTTPMethodNotAllowed as error:
        return _wrong_method(request, sorted(error.allowed_methods))
    except web.HTTPException as error:
        return error_response(APIError(error.status, error.reason))
    except Exception:  # noqa: BLE001 - the outermost guard: a bug answers 500, is logged, and tells the client nothing
        _log.exception("unexpected error", method=request.method, path=request.path)
        return error_response(api_error_of(MillraceError()))


def _wrong_method(request: web.Request, allowed: list[str]) -> web.Response:
    """405, with the methods that the path has. Fn v1 answers 404; none of its clients asks so."""
    methods = ", ".join(allowed)
    detail = f"{one_line(request.method)} {one_line(request.path)}. Allowed are {methods}"
    response = error_response(api_error_of(MethodNotAllowedError(detail=detail)))
    response.headers["Allow"] = methods
    return response


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    """404; but a path that is known without its last slash is redirected to, as by Fn v1."""
    raw_path = request.rel_url.raw_path
    if len(raw_path) > 1 and raw_path.endswith("/"):
        target = request.rel_url.with_path(raw_path[:-1], encoded=True, keep_query=True)
        match = await request.app.router.resolve(request.clone(rel_url=target))
        if match.http_exception is None:
            status = 301 if request.method == "GET" else 307
            return web.Response(status=status, headers={"Location": str(target)})
    error = PathNotFoundError(f"{PathNotFoundError.default_message}: {request.path}")
    return error_response(api_error_of(error))
