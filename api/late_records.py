"""Late records: a sync call is recorded a moment after it was answered, and has no record while it runs.

Whoever asks for one meanwhile waits for it a little, or is told to ask again: never that there is no such call. The
queue knows, so this holds whichever api process is asked, and costs nothing where the record is there.
"""

import asyncio
import time
from uuid import UUID

from aiohttp import web

from api.keys import QUEUE, STORE
from common.errors import CallNotFoundError, QueueUnavailableError, RecordPendingError
from common.models import Call
from common.queue.base import MessageQueue, Trace
from common.store.base import Datastore

PATIENCE_S = 2.0  # a record comes after a quarter of a second, mostly
LOOK_S = 0.05


async def known_call(request: web.Request, app_name: str | None, call_id: UUID) -> Call:
    """The call of this app, or with None of any. Raises CallNotFoundError.

    Raises RecordPendingError for a sync call without a record yet.
    """
    store, gives_up_at_s = request.app[STORE], time.monotonic() + PATIENCE_S
    try:
        return await _read(store, app_name, call_id)
    except CallNotFoundError:
        trace = await _trace(request.app[QUEUE], call_id)
        if trace is Trace.UNKNOWN:
            raise
    while trace is Trace.ENDED and time.monotonic() < gives_up_at_s:
        if await store.get_calls_by_id([call_id]):
            return await _read(store, app_name, call_id)  # or it is another app's
        await asyncio.sleep(LOOK_S)
    raise RecordPendingError


async def _read(store: Datastore, app_name: str | None, call_id: UUID) -> Call:
    if app_name is not None:
        return await store.get_call(app_name, call_id)
    calls = await store.get_calls_by_id([call_id])
    if call_id not in calls:
        raise CallNotFoundError
    return calls[call_id]


async def _trace(queue: MessageQueue, call_id: UUID) -> Trace:
    try:
        return await queue.trace(call_id)
    except QueueUnavailableError:
        return Trace.UNKNOWN
