"""/v1/apps/{app}/calls/{call}: end a call, or run it again.

A cancel is first the store's and then the queue's, which tells the worker at once. Without the queue it is as good:
whoever takes the call finds it in the store, and whoever runs it asks there, too.
"""

from contextlib import suppress
from uuid import UUID

from aiohttp import web

from api.answers import CallAnswer, Retried
from api.causes import for_caller
from api.keys import ANNOUNCER, METRICS, QUEUE, RETRIES, STORE
from api.parameters import app_name_of, call_id_of
from api.priorities import check_priority
from api.schemas import call_json, json_response
from common.errors import CallIsFinalError, QueueUnavailableError
from common.models import CallStatus
from common.queue.base import Cancelled


async def cancel_call(request: web.Request) -> web.Response:
    """End it: at once if it waits, as soon as its worker has done so if it runs. Again is as good as once."""
    app_name, call_id, store = app_name_of(request), call_id_of(request), request.app[STORE]
    was_final = False
    try:
        call = await store.cancel(app_name, call_id)
    except CallIsFinalError:
        was_final = True
        call = await store.get_call(app_name, call_id)
        if call.status is not CallStatus.CANCELLED:
            raise
    was_waiting = await _cancel_in_queue(request, call_id)
    if was_waiting and call.status is CallStatus.RUNNING:
        # Whoever ran it lost it, and the claim that would have ended it can't come any more.
        await store.settle_dead([call_id])
        call = await store.get_call(app_name, call_id)
    if not was_final:
        request.app[ANNOUNCER].tell([call_id])
        if call.status is CallStatus.CANCELLED:
            request.app[METRICS].finished.labels(call.status, call.reason, "").inc()
    message = "Call cancelled" if call.status is CallStatus.CANCELLED else "Cancellation requested"
    return json_response(CallAnswer(message=message, call=call_json(for_caller(request, call))))


async def _cancel_in_queue(request: web.Request, call_id: UUID) -> bool:
    """Whether it waited there. Without the queue that is not known."""
    with suppress(QueueUnavailableError):
        return await request.app[QUEUE].cancel([call_id]) == [Cancelled.REMOVED]
    return False


async def retry_call(request: web.Request) -> web.Response:
    """Make a new call of one that ended; it names the old one as its parent, and has its priority."""
    app_name, call_id = app_name_of(request), call_id_of(request)
    call = await request.app[STORE].get_call(app_name, call_id)
    check_priority(request, call.priority, "")
    new_id = await request.app[RETRIES].retry(app_name, call_id)
    response = json_response(Retried(call_id=new_id, parent_id=call_id), status=202)
    response.headers["Location"] = f"/v1/apps/{app_name}/calls/{new_id}"
    return response
