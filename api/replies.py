"""From the end of a sync call to the answer of its caller, in Fn v1's words. Knows neither queue nor store.

A function answers with its own status, headers and body. Where it could not, the error says so: 504 for one that took
too long, 503 for one that was never started, 502 for everything that went wrong with the function or its container.
"""

from datetime import UTC, datetime

from aiohttp import web
from multidict import CIMultiDict

from api.headers import allowed_headers, passed_headers
from api.middlewares import APIError, error_response, new_api_error
from api.sandbox import leads_into_api
from common.errors import (
    CallTimeoutError,
    CallTimeoutServerBusyError,
    InvalidHeadersError,
    QueuePausedError,
    ShuttingDownError,
    UnavailableError,
)
from common.models import FORMAT_JSON, Call, CallStatus, Detail, Headers, Outcome, Reason
from common.telemetry.metrics import phase_times_s

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
JSON = "application/json"
SERVER_TIMING = "Server-Timing"

# The function was never started, and will not be: asking again is safe. Everything else may have run.
NOT_STARTED: dict[str, type[UnavailableError]] = {
    Detail.NO_CAPACITY: CallTimeoutServerBusyError,
    Detail.INIT_TIMEOUT: CallTimeoutServerBusyError,
    Detail.QUEUE_PAUSED: QueuePausedError,
    Detail.SHUTTING_DOWN: ShuttingDownError,
}
_BODYLESS = frozenset({204, 205, 304})


def answer(route_format: str, route_headers: Headers, outcome: Outcome) -> web.Response:
    """The answer to a call of a route. The route's headers are in it if the function answered."""
    if outcome.status is not CallStatus.SUCCESS:
        return error_response(failure(outcome))
    status = outcome.response_status
    if not 200 <= status <= 599:
        return error_response(_bad_response(f"Function answered with status {status}"))
    try:
        headers = passed_headers(outcome.response_headers)
    except InvalidHeadersError:
        return error_response(_bad_response("Function answered with headers that are no HTTP"))
    for name, value in allowed_headers(route_headers):
        if name.lower() != "content-type" or "Content-Type" not in headers:
            headers.add(name, value)
    if status in _BODYLESS:
        return web.Response(status=status, headers=headers)
    return with_body(status, headers, route_format, outcome.result)


def without_redirect_into_api(request: web.Request, response: web.Response) -> web.Response:
    """*response*, or an error in its place if it would send the caller, with its token, into the api itself."""
    if 300 <= response.status < 400 and any(
        leads_into_api(request, location) for location in response.headers.getall("Location", ())
    ):
        return error_response(_bad_response("Function redirected into the api itself"))
    return response


def with_body(status: int, headers: CIMultiDict[str], route_format: str, body: bytes) -> web.Response:
    """*body* with *headers*, and a type if they have none: it is never left to the client to guess."""
    if "Content-Type" not in headers:
        headers["Content-Type"] = JSON if route_format == FORMAT_JSON else TEXT if _is_text(body) else BYTES
    return web.Response(status=status, body=body, headers=headers)


def server_timing(call: Call, outcome: Outcome) -> str:
    """The header of that name: how long the call waited, started and ran, as far as that is known, and all of it."""
    total_s = (datetime.now(UTC) - (call.created_at or datetime.now(UTC))).total_seconds()
    times_s = phase_times_s(call, outcome)
    if outcome.detail == Detail.NO_CAPACITY:
        times_s["queued"] = total_s  # nobody took it
    shown = {"queue": times_s.get("queued"), "start": times_s.get("start"), "run": times_s.get("run")}
    shown["total"] = max(0.0, total_s)
    return ", ".join(
        f"{name};dur={time_s * 1000:.1f}" for name, time_s in shown.items() if time_s is not None
    )


def failure(outcome: Outcome) -> APIError:
    """The error that the caller of a failed call gets."""
    if outcome.detail in NOT_STARTED:
        return new_api_error(503, NOT_STARTED[outcome.detail]())
    if outcome.reason is Reason.TIMEOUT:
        return new_api_error(504, CallTimeoutError())
    code = outcome.detail or outcome.reason or "function_failed"
    return APIError(502, outcome.error or "Function failed", code=code)


def _bad_response(message: str) -> APIError:
    return APIError(502, message, code=Detail.BAD_RESPONSE)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
