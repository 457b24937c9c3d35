"""/v1/apps/{app}/calls: list and show calls, their logs and their results. Status is there from the first moment."""

import asyncio
from uuid import UUID

from aiohttp import web
from multidict import CIMultiDict

from api.answers import CallAnswer, CallList, Log, LogAnswer
from api.causes import for_caller
from api.handlers.follow import follow_log, when_final
from api.headers import passed_headers
from api.keys import STORE
from api.late_records import known_call
from api.log_lines import with_timestamps
from api.parameters import (
    app_name_of,
    call_id_of,
    flag_of,
    id_cursor_of,
    per_page_of,
    statuses_of,
    time_of,
    wait_s_of,
)
from api.replies import TEXT, with_body
from api.schemas import JSON, call_json, json_response
from api.tokens import TOKEN
from common.errors import (
    CallLogNotFoundError,
    CallNotFoundError,
    CallResultNotFoundError,
    CallResultNotYetError,
    InvalidFromTimeError,
    InvalidHeadersError,
    InvalidToTimeError,
    NotAcceptableError,
)
from common.models import CallFilter
from common.store.base import CallResult
from common.wording import shown

STATUS = "Millrace-Status"


async def list_calls(request: web.Request) -> web.Response:
    app_name, per_page = app_name_of(request), per_page_of(request)
    wanted = CallFilter(
        app_name=app_name,
        path=request.query.get("path", ""),
        statuses=statuses_of(request),
        from_time=time_of(request, "from_time", InvalidFromTimeError),
        to_time=time_of(request, "to_time", InvalidToTimeError),
        cursor=id_cursor_of(request),
        per_page=per_page,
    )
    calls = await request.app[STORE].get_calls(wanted)
    if not calls:
        await request.app[STORE].get_app(app_name)
    cursor = str(calls[-1].id) if len(calls) == per_page else ""
    return json_response(
        CallList(
            message="Successfully listed calls",
            next_cursor=cursor,
            calls=[call_json(for_caller(request, call)) for call in calls],
        )
    )


async def get_call(request: web.Request) -> web.Response:
    """The call as it is; with ``wait=S`` when it is final, or as it is after S seconds."""
    app_name, wait_s = app_name_of(request), wait_s_of(request)
    call_id = call_id_of(request)
    if wait_s:
        call = await when_final(request, app_name, call_id, wait_s)
    else:
        call = await known_call(request, app_name, call_id)
    return json_response(
        CallAnswer(message="Successfully loaded call", call=call_json(for_caller(request, call)))
    )


async def find_call(request: web.Request) -> web.Response:
    """The call of this id, whatever its app; with a token of one app only calls of that."""
    token = request.get(TOKEN)
    call = await known_call(request, token.app_name if token else None, call_id_of(request))
    return json_response(
        CallAnswer(message="Successfully loaded call", call=call_json(for_caller(request, call)))
    )


async def get_log(request: web.Request) -> web.StreamResponse:
    """The log of a final call, as JSON or as the bytes that it is; with ``timestamps=1`` each line says when.

    With ``follow=1`` the log of any call, as bytes, as it grows.
    """
    if flag_of(request, "follow"):
        return await follow_log(request)
    app_name, call_id = app_name_of(request), call_id_of(request, CallLogNotFoundError)
    store = request.app[STORE]
    try:
        call = await known_call(request, app_name, call_id)
    except CallNotFoundError as error:
        raise CallLogNotFoundError from error
    if not call.status.is_final:
        raise CallLogNotFoundError(
            detail=f"the call is {call.status}. Its log is there once it has ended; ?follow=1 sends it as it grows"
        )
    content_type = _accepted(request)
    try:
        log = await store.get_log(app_name, call_id)
        if flag_of(request, "timestamps"):
            marks = await store.get_log_marks(app_name, call_id)
            log = await asyncio.to_thread(with_timestamps, log, marks)
    except CallLogNotFoundError:
        log = b""  # it ended before it could write one
    if content_type == TEXT:
        return web.Response(body=log, headers={"Content-Type": TEXT})
    shown = Log(call_id=call_id, log=log.decode(errors="replace"), app_name=app_name)
    return json_response(LogAnswer(message="Successfully loaded log", log=shown))


async def get_result(request: web.Request) -> web.Response:
    """What a final call answered, byte for byte and with its headers; its function's status is a header, too."""
    result = await _result_of(request, app_name_of(request), call_id_of(request))
    try:
        headers = passed_headers(result.headers)
    except InvalidHeadersError:
        headers = CIMultiDict()
    headers[STATUS] = str(result.status)
    return with_body(200, headers, result.format, result.body)


async def _result_of(request: web.Request, app_name: str, call_id: UUID) -> CallResult:
    """Raises as known_call, CallResultNotYetError if it has not ended, CallResultNotFoundError if it has none."""
    store = request.app[STORE]
    try:
        return await store.get_result(app_name, call_id)
    except CallResultNotFoundError:
        call = await known_call(request, app_name, call_id)
    if not call.status.is_final:
        raise CallResultNotYetError.of(call.status)
    return await store.get_result(app_name, call_id)  # it may have ended meanwhile


def _accepted(request: web.Request) -> str:
    """JSON or TEXT, by Fn v1's rules. Raises NotAcceptableError."""
    accepts = request.headers.getall("Accept", ["*/*"])
    for accept in accepts:
        for part, content_type in (("application/json", JSON), ("text/plain", TEXT), ("*/*", JSON)):
            if part in accept:
                return content_type
    raise NotAcceptableError(
        field="Accept", detail=f"got {shown(', '.join(accepts))}, but a log is application/json or text/plain"
    )
