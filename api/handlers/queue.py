"""/v1/queue: how deep the queue is, what comes next, whether it hands out calls at all; putting back what it lost."""

import asyncio
import time

import msgspec
from aiohttp import web
from msgspec import UNSET

from api.answers import known
from api.keys import QUEUE, RECONCILER, SETTINGS, STORE
from api.middlewares import api_error_of, error_body
from api.overviews import QueuedCall, QueueDepth, QueueHead, Rebuilt
from api.parameters import limit_of
from api.pause import follow_pause
from api.restoring import Progress
from api.schemas import json_response
from api.streams import streaming
from common.errors import MillraceError, StoreUnavailableError
from common.models import Error
from common.queue.base import Depth, Peeked

JSON_LINES = "application/x-ndjson"
LINE_EVERY_S = 1.0
DEAD_S = 2.0


async def get_depth(request: web.Request) -> web.Response:
    """Counts at one instant. ``due`` is part of ``delayed``, ``expired`` of ``leased``; ``conserved``: they add up."""
    return await _depth_response(request, await request.app[QUEUE].depth())


async def get_head(request: web.Request) -> web.Response:
    """The next calls, in the order in which workers get them."""
    head = await request.app[QUEUE].peek(limit_of(request))
    return json_response(QueueHead(calls=[_shown(call) for call in head]))


async def pause(request: web.Request) -> web.Response:
    """Hand out nothing until resumed. 503 without Redis: the pause is stored then, and is kept once it is back."""
    await request.app[STORE].pause_queue(request.app[SETTINGS].queue_name)
    return await _follow(request)


async def resume(request: web.Request) -> web.Response:
    """Hand out calls again; without Redis as pause does."""
    await request.app[STORE].resume_queue(request.app[SETTINGS].queue_name)
    return await _follow(request)


async def rebuild(request: web.Request) -> web.StreamResponse:
    """Put back what the queue lost, and tell each second how far that is; a last line says ``is_done``.

    Safe beside live workers, and to repeat: calls that the queue has stay as they are. What fails in the first second
    is an answer of its own, later the last line. It goes on when its client goes away.
    """
    begun_s = time.monotonic()
    progress = Progress()
    work = asyncio.create_task(request.app[RECONCILER].rebuild(progress))
    try:
        await asyncio.wait({work}, timeout=LINE_EVERY_S)
        if work.done():
            work.result()
            line = _line(progress, begun_s, is_done=True)
            return web.Response(body=line, headers={"Content-Type": JSON_LINES})
        return await _tell(request, work, progress, begun_s)
    finally:
        work.cancel()
        await asyncio.wait({work})


async def _follow(request: web.Request) -> web.Response:
    app = request.app
    depth = await follow_pause(app[STORE], app[QUEUE], app[SETTINGS].queue_name)
    return await _depth_response(request, depth)


async def _tell(
    request: web.Request, work: asyncio.Task[None], progress: Progress, begun_s: float
) -> web.StreamResponse:
    async with streaming(request, JSON_LINES) as stream:
        is_heard = True
        while not work.done():
            is_heard = is_heard and await stream.write(_line(progress, begun_s))
            await asyncio.wait({work}, timeout=LINE_EVERY_S)
        try:
            work.result()
            line = _line(progress, begun_s, is_done=True)
        except MillraceError as error:
            line = msgspec.json.encode(Error(error=error_body(api_error_of(error)))) + b"\n"
        await stream.write(line)
    return stream.response


def _line(progress: Progress, begun_s: float, *, is_done: bool = False) -> bytes:
    took_s = round(time.monotonic() - begun_s, 1)
    line = Rebuilt(looked=progress.looked, restored=progress.restored, took_s=took_s, is_done=is_done)
    return msgspec.json.encode(line) + b"\n"


def _shown(call: Peeked) -> QueuedCall:
    return QueuedCall(
        id=call.id,
        sync=UNSET if call.priority is not None else True,
        priority=known(call.priority),
        ready_s=call.ready_ms / 1000,
        memory_mb=call.memory_mb,
        deliveries=call.deliveries,
    )


async def _depth_response(request: web.Request, depth: Depth) -> web.Response:
    try:
        async with asyncio.timeout(DEAD_S):
            dead = await request.app[STORE].count_dead()
    except (StoreUnavailableError, TimeoutError):  # what the queue knows is shown all the same
        dead = None
    return json_response(
        QueueDepth(
            name=request.app[SETTINGS].queue_name,
            ready={str(priority): count for priority, count in enumerate(depth.ready)},
            ready_sync=depth.ready_sync,
            delayed=depth.delayed,
            due=depth.due,
            leased=depth.leased,
            expired=depth.expired,
            given_up=depth.dead,
            dead=dead,
            calls=depth.calls,
            oldest_ready_ms=depth.oldest_ready_ms,
            is_paused=depth.is_paused,
            conserved=depth.is_conserved,
        )
    )
