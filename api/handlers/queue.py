"""/v1/queue: how deep the queue is, what comes next, and whether it hands out calls at all."""

from aiohttp import web
from msgspec import UNSET

from api.answers import known
from api.keys import QUEUE, SETTINGS, STORE
from api.overviews import QueuedCall, QueueDepth, QueueHead
from api.parameters import limit_of
from api.pause import follow_pause
from api.schemas import json_response
from common.queue.base import Depth, Peeked


async def get_depth(request: web.Request) -> web.Response:
    """Counts at one instant. ``due`` is part of ``delayed``, ``expired`` of ``leased``; ``conserved``: they add up."""
    return _depth_response(request, await request.app[QUEUE].depth())


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


async def _follow(request: web.Request) -> web.Response:
    app = request.app
    return _depth_response(request, await follow_pause(app[STORE], app[QUEUE], app[SETTINGS].queue_name))


def _shown(call: Peeked) -> QueuedCall:
    return QueuedCall(
        id=call.id,
        sync=UNSET if call.priority is not None else True,
        priority=known(call.priority),
        ready_s=call.ready_ms / 1000,
        memory_mb=call.memory_mb,
        deliveries=call.deliveries,
    )


def _depth_response(request: web.Request, depth: Depth) -> web.Response:
    return json_response(
        QueueDepth(
            name=request.app[SETTINGS].queue_name,
            ready={str(priority): count for priority, count in enumerate(depth.ready)},
            ready_sync=depth.ready_sync,
            delayed=depth.delayed,
            due=depth.due,
            leased=depth.leased,
            expired=depth.expired,
            dead=depth.dead,
            calls=depth.calls,
            oldest_ready_ms=depth.oldest_ready_ms,
            is_paused=depth.is_paused,
            conserved=depth.is_conserved,
        )
    )
