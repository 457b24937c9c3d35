"""Following one call: wait for its end, hear of each transition, read its log while it runs.

Each answer begins with what is there, and ends with the call. Followers are few (following.py): one too many is 503.
"""

import time
from uuid import UUID

import msgspec
from aiohttp import web

from api.causes import for_caller
from api.following import Follower
from api.keys import FOLLOWING, STORE
from api.late_records import known_call
from api.parameters import app_name_of, call_id_of, flag_of
from api.replies import TEXT
from api.schemas import call_json
from api.streams import Stream, streaming
from common.errors import (
    CallLogNotFoundError,
    CallNotFoundError,
    InvalidFollowError,
    StoreUnavailableError,
)
from common.models import Call
from common.store.base import Datastore

EVENTS = "text/event-stream; charset=utf-8"
KEEP_ALIVE_S = 15.0
LOG_PART_BYTES = 256 * 1024
LOG_BEGINS_ANEW = b"\n-----the call runs again, its log begins anew-----\n"


async def when_final(request: web.Request, app_name: str, call_id: UUID, wait_s: float) -> Call:
    """The call when it is final, or as it is after *wait_s*. Raises CallNotFoundError, TooManyFollowersError."""
    store, ends_at_s = request.app[STORE], time.monotonic() + wait_s
    with request.app[FOLLOWING].follow(call_id, request) as follower:
        call = await known_call(request, app_name, call_id)
        while not (call.status.is_final or follower.is_over):
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0:
                return await store.get_call(app_name, call_id)
            call = await follower.news(left_s) or call
    return call


async def get_events(request: web.Request) -> web.StreamResponse:
    """The state now, then each transition, as server-sent events. Transitions that come at once may be one event.

    A browser asks again when the stream has ended; once it has seen the final state, 204 tells it to stop.
    """
    app_name, call_id = app_name_of(request), call_id_of(request)
    with request.app[FOLLOWING].follow(call_id, request) as follower:
        call = await known_call(request, app_name, call_id)
        if call.status.is_final and request.headers.get("Last-Event-ID") == _event_id(call):
            return web.Response(status=204)
        async with streaming(request, EVENTS) as stream:
            await _send_events(request, stream, follower, call)
    return stream.response


async def _send_events(request: web.Request, stream: Stream, follower: Follower, call: Call) -> None:
    sent, quiet_until_s = "", 0.0
    while not follower.is_over:
        now_s = time.monotonic()
        if sent != _event_id(call) or now_s >= quiet_until_s:
            message = _event(request, call) if sent != _event_id(call) else b": keep-alive\n\n"
            sent, quiet_until_s = _event_id(call), now_s + KEEP_ALIVE_S
            if not await stream.write(message):
                return
        if call.status.is_final:
            return
        call = await follower.news(quiet_until_s - time.monotonic()) or call


def _event_id(call: Call) -> str:
    return f"{call.attempt}-{call.status}"


def _event(request: web.Request, call: Call) -> bytes:
    return b"event: status\nid: %b\ndata: %b\n\n" % (
        _event_id(call).encode(),
        msgspec.json.encode(call_json(for_caller(request, call))),
    )


async def follow_log(request: web.Request) -> web.StreamResponse:
    """The log as bytes: what there is, then what comes, until the call is final and all of it was sent.

    Another attempt begins a log of its own: after a line that says so, that one is sent from its beginning.
    """
    if flag_of(request, "timestamps"):
        raise InvalidFollowError(field="timestamps")
    app_name, call_id = app_name_of(request), call_id_of(request, CallLogNotFoundError)
    store = request.app[STORE]
    with request.app[FOLLOWING].follow(call_id, request) as follower:
        try:
            await known_call(request, app_name, call_id)
        except CallNotFoundError as error:
            raise CallLogNotFoundError from error
        async with streaming(request, TEXT) as stream:
            await _LogSender(store, stream, app_name, call_id).run(follower)
    return stream.response


class _LogSender:
    """Sends one log; ``sent_bytes`` of the one that began at ``begun_at_ms``."""

    def __init__(self, store: Datastore, stream: Stream, app_name: str, call_id: UUID) -> None:
        self._store = store
        self._stream = stream
        self._which = app_name, call_id
        self._sent_bytes = 0
        self._begun_at_ms: int | None = None

    async def run(self, follower: Follower) -> None:
        """Return when all was sent or the client has gone. Breaks the stream off if the process ends before."""
        while not follower.is_over:
            try:
                is_complete = await self._send_what_is_there()
            except StoreUnavailableError:
                is_complete = False  # it will be back; until then the client waits
            if is_complete:
                return
            await follower.news(KEEP_ALIVE_S)
        self._stream.break_off()

    async def _send_what_is_there(self) -> bool:
        """Whether nothing more can follow."""
        while True:
            part = await self._store.get_log_part(*self._which, self._sent_bytes, LOG_PART_BYTES)
            if part.begun_at_ms != self._begun_at_ms:
                is_other = self._sent_bytes > 0
                self._begun_at_ms, self._sent_bytes = part.begun_at_ms, 0
                if is_other:
                    if not await self._stream.write(LOG_BEGINS_ANEW):
                        return True
                    continue  # this part was not of its beginning
            if not part.chunk:
                return part.is_final
            self._sent_bytes += len(part.chunk)
            if not await self._stream.write(part.chunk):
                return True
