"""/v1/queue: how deep the queue is, exactly."""

from aiohttp import web

from api.keys import QUEUE, SETTINGS
from api.schemas import json_response


async def get_depth(request: web.Request) -> web.Response:
    """Counts at one instant. ``due`` is part of ``delayed``, ``expired`` of ``leased``; ``conserved``: they add up."""
    depth = await request.app[QUEUE].depth()
    return json_response(
        {
            "name": request.app[SETTINGS].queue_name,
            "ready": {str(priority): count for priority, count in enumerate(depth.ready)},
            "ready_sync": depth.ready_sync,
            "delayed": depth.delayed,
            "due": depth.due,
            "leased": depth.leased,
            "expired": depth.expired,
            "dead": depth.dead,
            "calls": depth.calls,
            "oldest_ready_ms": depth.oldest_ready_ms,
            "is_paused": depth.is_paused,
            "conserved": depth.is_conserved,
        }
    )
