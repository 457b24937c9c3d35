"""/r/{app}/{route}: take a call. Async routes: 202 once it is stored. Sync routes: what the function answers.

Checks in Fn v1's order: the app, the route, then what this call asks for; the queue's room comes last, before anything
is stored or queued. A caller may ask a sync route for the async way (``Prefer: respond-async``).

Who calls a public route without a token has no say in how its calls are queued: what such a request asks for is left
out, and the answer says so in ``Millrace-Ignored``.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import structlog
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from api.answers import Accepted
from api.causes import for_caller
from api.clients import CLIENT
from api.headers import ANSWER_HEADERS, answer_headers, function_headers
from api.idempotency import IDEMPOTENCY_KEY, REPLAYED, idempotency_key, key_of
from api.keys import ADMISSION, BODIES, METRICS, QUOTAS, ROUTES, SETTINGS, SUBMITTER, SYNC
from api.middlewares import REQUEST_ID
from api.new_calls import async_call, sync_call
from api.parameters import app_name_of, route_path_of, url_of
from api.priorities import check_priority
from api.quotas import stored_bytes
from api.replies import SERVER_TIMING, answer, server_timing, without_redirect_into_api
from api.route_cache import FoundRoute
from api.sandbox import OWN_ORIGIN
from api.schemas import json_response
from api.waiting import Waiting
from common.errors import (
    InvalidDelayError,
    InvalidIdempotencyKeyError,
    InvalidPriorityError,
    MillraceError,
)
from common.models import MAX_DELAY_S, MAX_PRIORITY, TYPE_ASYNC, CallStatus, Route, new_id, with_request_id
from common.wording import shown

IGNORED = "Millrace-Ignored"
PRIORITY = "Millrace-Priority"
DELAY = "Millrace-Delay"
RESPOND_ASYNC = "respond-async"
_ASYNC_ONLY = (
    (PRIORITY, InvalidPriorityError),
    (DELAY, InvalidDelayError),
    (IDEMPOTENCY_KEY, InvalidIdempotencyKeyError),
)
_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)


async def invoke(request: web.Request) -> web.Response:
    asked, ignored = _asked(request)
    response = await _invoke(request, asked)
    if ignored:
        response.headers[IGNORED] = ", ".join(ignored)
    return response


def _asked(request: web.Request) -> tuple[CIMultiDictProxy[str], list[str]]:
    """The headers that count for how the call is queued, and the names of those that are ignored."""
    headers = request.headers
    if not request[CLIENT].is_anonymous:
        return headers, []
    ignored = [name for name, _ in _ASYNC_ONLY if name in headers]
    if _prefers_async(headers):
        ignored.append(f"Prefer: {RESPOND_ASYNC}")
    return CIMultiDictProxy(CIMultiDict()), ignored


async def _invoke(request: web.Request, asked: CIMultiDictProxy[str]) -> web.Response:
    try:
        found = await _find(request)
        call_id = new_id()
        structlog.contextvars.bind_contextvars(call_id=call_id)
        request[ANSWER_HEADERS] = answer_headers(call_id, found.route.headers)
        settings = request.app[SETTINGS]
        async with request.app[BODIES].body(request, settings.body_max_bytes) as payload:
            # A body may take minutes, and the route may be another one by then, or gone.
            found = await _find(request)
            if found.route.type == TYPE_ASYNC or _prefers_async(asked):
                return await _submit(request, asked, found, call_id, payload)
            waiting = await _push(request, asked, found, call_id, payload)
    except MillraceError as error:
        request.app[METRICS].refused.labels(error.slug).inc()
        raise
    return await _reply(request, found.route, waiting)


async def _find(request: web.Request) -> FoundRoute:
    return await request.app[ROUTES].get(app_name_of(request), route_path_of(request))


def _prefers_async(headers: CIMultiDictProxy[str]) -> bool:
    """Whether RFC 7240's preference is among them."""
    return any(
        preference.partition(";")[0].strip().lower() == RESPOND_ASYNC
        for value in headers.getall("Prefer", ())
        for preference in value.split(",")
    )


async def _submit(
    request: web.Request, asked: CIMultiDictProxy[str], found: FoundRoute, call_id: UUID, payload: bytes
) -> web.Response:
    delay = _integer_of(asked, DELAY, MAX_DELAY_S, InvalidDelayError)
    priority = _integer_of(asked, PRIORITY, MAX_PRIORITY, InvalidPriorityError)
    check_priority(request, priority, PRIORITY)
    key = key_of(asked)
    call = async_call(found, payload, id=call_id, delay=delay, priority=priority, **_of_request(request))
    size_bytes = stored_bytes(call)
    async with _admitted(request, call.app_name, size_bytes):
        accepted = await request.app[SUBMITTER].submit_async(call, idempotency_key(key, call), found.revision)
    response = json_response(Accepted(call_id=accepted.call_id), status=202)
    if accepted.is_replay:
        request.app[ADMISSION].withdraw()
        request.app[QUOTAS].withdraw(call.app_name, size_bytes)
        request[ANSWER_HEADERS] = answer_headers(accepted.call_id, found.route.headers)
        response.headers[REPLAYED] = "true"
    if found.route.type != TYPE_ASYNC:
        response.headers["Preference-Applied"] = RESPOND_ASYNC
    return response


async def _push(
    request: web.Request, asked: CIMultiDictProxy[str], found: FoundRoute, call_id: UUID, payload: bytes
) -> Waiting:
    for name, invalid in _ASYNC_ONLY:
        if name in asked:
            raise invalid(f"{name} is for async calls only", field=name)
    call = sync_call(found, payload, id=call_id, **_of_request(request))
    async with _admitted(request):
        return await request.app[SYNC].push(call, payload, request)


async def _reply(request: web.Request, route: Route, waiting: Waiting) -> web.Response:
    outcome = for_caller(request, await request.app[SYNC].outcome(waiting))
    response = without_redirect_into_api(request, answer(route.format, route.headers, outcome))
    response.headers.add(SERVER_TIMING, server_timing(waiting.call, outcome))
    if outcome.status is CallStatus.SUCCESS:
        request[ANSWER_HEADERS] = answer_headers(waiting.call.id, {})  # the route's are in it already
    request.app[METRICS].sync_answered.labels(str(response.status)).inc()
    return response


@asynccontextmanager
async def _admitted(request: web.Request, app_name: str = "", size_bytes: int = 0) -> AsyncIterator[None]:
    """Room for one call, given back if it is not accepted; of an app that it is stored for, within its quotas.

    Raises QueueFullError, AppCallsFullError, AppStorageFullError.
    """
    admission, quotas = request.app[ADMISSION], request.app[QUOTAS]
    await admission.admit()
    try:
        if app_name:
            await quotas.admit(app_name, size_bytes)
        try:
            yield
        except MillraceError:
            if app_name:
                quotas.withdraw(app_name, size_bytes)
            raise
    except MillraceError:
        admission.withdraw()
        raise


def _of_request(request: web.Request) -> dict[str, Any]:
    """What the function gets to know of the request, but for its payload."""
    return {
        "method": request.method,
        "url": str(url_of(request)),
        "headers": with_request_id(
            function_headers(request.headers, with_cookies=request.app[OWN_ORIGIN]), request[REQUEST_ID]
        ),
    }


def _integer_of(headers: CIMultiDictProxy[str], name: str, largest: int, invalid: type[MillraceError]) -> int:
    """The header as a plain decimal number, 0 without one. Raises *invalid* for another spelling or a larger number."""
    values = headers.getall(name, ["0"])
    if len(values) != 1 or not _INTEGER.fullmatch(values[0]):
        raise invalid(f"{name} is not a number in 0..{largest}: got {shown(', '.join(values))}", field=name)
    if int(values[0]) > largest:
        raise invalid(field=name, detail=f"got {shown(values[0])}")
    return int(values[0])
