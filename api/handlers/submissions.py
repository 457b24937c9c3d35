"""POST /v1/apps/{app}/calls: take async calls as JSON, one or many, whatever the type of their routes.

Many are answered one by one: what is wrong with one is no trouble to the others. Only what concerns all of them fails
all: a body that can't be read, an app that is not there, a store that is away before anything was stored.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace
from multidict import CIMultiDictProxy

from api import answers
from api.call_bodies import CALLS_MAX_BYTES, AskedCall, decode_calls
from api.headers import function_headers
from api.idempotency import IDEMPOTENCY_KEY, REPLAYED, idempotency_key, key_of
from api.invocation import Accepted
from api.keys import ADMISSION, BODIES, METRICS, QUOTAS, ROUTES, SETTINGS, SUBMITTER
from api.middlewares import REQUEST_ID, api_error_of, error_body
from api.new_calls import async_call
from api.parameters import app_name_of, url_of
from api.priorities import check_priority
from api.quotas import stored_bytes
from api.route_cache import FoundRoute
from api.schemas import JSON_MAX_BYTES, json_response
from common.errors import (
    InvalidConfigError,
    InvalidIdempotencyKeyError,
    MillraceError,
    QueueFullError,
    QuotaExceededError,
    RoutesNotFoundError,
)
from common.models import new_id, with_request_id
from common.store.base import Submission
from common.telemetry.logs import get_logger

# What one trace is told from another by. The client's own, unless the call's headers have one.
_TRACE = ("traceparent", "tracestate")

_log = get_logger("submissions")

End = Accepted | BaseException


async def submit_calls(request: web.Request) -> web.Response:
    try:
        app_name, key = app_name_of(request), key_of(request.headers)
        async with request.app[BODIES].body(request, CALLS_MAX_BYTES) as body:
            asked = await _decode(request, body)
            if isinstance(asked, AskedCall):
                (end,) = await _submit(request, app_name, [_with_key(asked, key)])
                return _answer(app_name, end)
            if key is not None:
                raise InvalidIdempotencyKeyError(
                    f"{IDEMPOTENCY_KEY} is for one call: each of many has its idempotency_key",
                    field=IDEMPOTENCY_KEY,
                )
            ends = await _submit(request, app_name, asked)
    except MillraceError as error:
        request.app[METRICS].refused.labels(error.slug).inc()
        raise
    return json_response(answers.Submissions(results=[_result(request, end) for end in ends]))


async def _decode(request: web.Request, body: bytes) -> AskedCall | list[AskedCall | MillraceError]:
    payload_max_bytes = request.app[SETTINGS].body_max_bytes
    if len(body) <= JSON_MAX_BYTES:
        return decode_calls(body, payload_max_bytes)
    async with request.app[BODIES].unpacking:
        return await asyncio.to_thread(decode_calls, body, payload_max_bytes)


def _with_key(asked: AskedCall, key: str | None) -> AskedCall:
    if key is None or asked.key == key:
        return asked
    if asked.key is not None:
        raise InvalidIdempotencyKeyError(
            f"{IDEMPOTENCY_KEY} and idempotency_key differ", field="idempotency_key"
        )
    return replace(asked, key=key)


async def _submit(
    request: web.Request, app_name: str, asked: Sequence[AskedCall | MillraceError]
) -> list[End]:
    """What became of each call that was asked for, in order."""
    found = await _find(request, app_name, {one.path for one in asked if isinstance(one, AskedCall)})
    ends: list[End] = []
    submissions: dict[int, Submission] = {}
    for place, one in enumerate(asked):
        made = _submission(request, one, found)
        refused = made if isinstance(made, MillraceError) else await _refusal(request, made)
        ends.append(refused or MillraceError())
        if isinstance(made, Submission) and refused is None:
            submissions[place] = made
    accepted = await request.app[SUBMITTER].submit_all(list(submissions.values()))
    for place, end in zip(submissions, accepted, strict=True):
        ends[place] = end
        if not isinstance(end, Accepted) or end.is_replay:
            request.app[ADMISSION].withdraw()
            request.app[QUOTAS].withdraw(app_name, stored_bytes(submissions[place].call))
    return ends


async def _find(
    request: web.Request, app_name: str, paths: set[str]
) -> Mapping[str, FoundRoute | MillraceError]:
    """Each route, or what is wrong with it. Raises AppsNotFoundError and StoreUnavailableError, which concern all."""
    found: dict[str, FoundRoute | MillraceError] = {}
    for path in paths:
        try:
            found[path] = await request.app[ROUTES].get(app_name, path)
        except (RoutesNotFoundError, InvalidConfigError) as error:
            found[path] = error
    return found


def _submission(
    request: web.Request, asked: AskedCall | MillraceError, routes: Mapping[str, FoundRoute | MillraceError]
) -> Submission | MillraceError:
    if isinstance(asked, MillraceError):
        return asked
    found = routes[asked.path]
    if isinstance(found, MillraceError):
        return found
    route = found.route
    try:
        check_priority(request, asked.priority, "priority")
        call = async_call(
            found,
            asked.payload,
            id=new_id(),
            method=asked.method,
            url=str(url_of(request).with_path(f"/r/{route.app_name}{route.path}")),
            headers=_headers(request, asked),
            priority=asked.priority,
            delay=asked.delay,
            timeout=asked.timeout,
        )
    except MillraceError as error:
        return error
    return Submission(call=call, key=idempotency_key(asked.key, call), revision=found.revision)


def _headers(request: web.Request, asked: AskedCall) -> dict[str, list[str]]:
    headers = asked.headers.copy()
    if _TRACE[0] not in headers:
        headers.extend((name, value) for name in _TRACE for value in request.headers.getall(name, ()))
    return with_request_id(function_headers(CIMultiDictProxy(headers)), request[REQUEST_ID])


async def _refusal(request: web.Request, submission: Submission) -> MillraceError | None:
    """Why there is no room for the call; None if there is, and it is counted in."""
    try:
        await request.app[ADMISSION].admit()
    except QueueFullError as error:
        return error
    try:
        await request.app[QUOTAS].admit(submission.call.app_name, stored_bytes(submission.call))
    except QuotaExceededError as error:
        request.app[ADMISSION].withdraw()
        return error
    return None


def _answer(app_name: str, end: End) -> web.Response:
    if not isinstance(end, Accepted):
        raise end
    response = json_response(answers.Accepted(call_id=end.call_id), status=202)
    response.headers["Location"] = f"/v1/apps/{app_name}/calls/{end.call_id}"
    if end.is_replay:
        response.headers[REPLAYED] = "true"
    return response


def _result(request: web.Request, end: End) -> answers.Submission:
    if isinstance(end, Accepted):
        return answers.Submission(status=202, call_id=end.call_id, replayed=end.is_replay or UNSET)
    if not isinstance(end, MillraceError):
        _log.error("unexpected error", exc_info=end)
        end = MillraceError()
    request.app[METRICS].refused.labels(end.slug).inc()
    error = api_error_of(end)
    return answers.Submission(status=error.status, error=error_body(error))
