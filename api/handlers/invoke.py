"""/r/{app}/{route}: take a call. Async routes: 202 once it is stored. Sync routes are not served yet.

Checks in Fn v1's order: the app, the route, then what this call asks for; the queue's room comes last, before anything
is stored.
"""

import re
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import web

from api.headers import ANSWER_HEADERS, answer_headers, function_headers
from api.keys import ADMISSION, BODIES, METRICS, ROUTES, SETTINGS, SUBMITTER
from api.parameters import app_name_of, route_path_of
from api.route_cache import FoundRoute
from api.schemas import json_response
from common.errors import InvalidDelayError, InvalidPriorityError, MillraceError, SyncNotBuiltError
from common.models import MAX_DELAY_S, MAX_PRIORITY, TYPE_ASYNC, Call, CallStatus, new_id

PRIORITY = "Millrace-Priority"
DELAY = "Millrace-Delay"
_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)


async def invoke(request: web.Request) -> web.Response:
    try:
        found = await _find(request)
        call_id = new_id()
        request[ANSWER_HEADERS] = answer_headers(call_id, found.route.headers)
        _require_async(found)
        await _submit(request, call_id)
    except MillraceError as error:
        request.app[METRICS].refused.labels(error.slug).inc()
        raise
    return json_response({"call_id": call_id}, status=202)


async def _find(request: web.Request) -> FoundRoute:
    return await request.app[ROUTES].get(app_name_of(request), route_path_of(request))


def _require_async(found: FoundRoute) -> None:
    if found.route.type != TYPE_ASYNC:
        raise SyncNotBuiltError


async def _submit(request: web.Request, call_id: UUID) -> None:
    settings, admission = request.app[SETTINGS], request.app[ADMISSION]
    async with request.app[BODIES].body(request, settings.body_max_bytes) as payload:
        # A body may take minutes, and the route may be another one by then, or gone.
        found = await _find(request)
        _require_async(found)
        call = _call(request, found, call_id, payload)
        await admission.admit()
        try:
            await request.app[SUBMITTER].submit_async(call)
        except MillraceError:
            admission.withdraw()
            raise


def _call(request: web.Request, found: FoundRoute, call_id: UUID, payload: bytes) -> Call:
    route = found.route
    delay = _integer_of(request, DELAY, MAX_DELAY_S, InvalidDelayError)
    return Call(
        id=call_id,
        status=CallStatus.DELAYED if delay else CallStatus.QUEUED,
        app_name=route.app_name,
        path=route.path,
        image=route.image,
        delay=delay,
        type=route.type,
        format=route.format,
        payload=payload,
        url=str(request.url),
        method=request.method,
        priority=_integer_of(request, PRIORITY, MAX_PRIORITY, InvalidPriorityError),
        timeout=route.timeout,
        idle_timeout=route.idle_timeout,
        memory=route.memory,
        created_at=datetime.now(UTC),
        headers=function_headers(request.headers),
        route_revision=found.revision.id,
    )


def _integer_of(request: web.Request, name: str, largest: int, invalid: type[MillraceError]) -> int:
    """The header as a plain decimal number, 0 without one. Raises *invalid* for another spelling or a larger number."""
    values = request.headers.getall(name, ["0"])
    if len(values) != 1 or not _INTEGER.fullmatch(values[0]):
        raise invalid(f"{name} is not a number in 0..{largest}", field=name)
    if int(values[0]) > largest:
        raise invalid(field=name)
    return int(values[0])
