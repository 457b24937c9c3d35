"""/, /version, /healthz, /readyz, /metrics: what this process is and how it does."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from api import VERSION
from api.keys import CONNECTIONS, FOLLOWING, METRICS, QUEUE, SETTINGS, STORE
from api.middlewares import APIError
from api.overviews import Greeting, Health, Readiness, Version
from api.pages import start
from api.schemas import json_response
from common.errors import MillraceError
from common.telemetry.checks import find_troubles
from common.telemetry.metrics import CONTENT_TYPE

CHECK_S = 5.0
DEPTH_S = 2.0

T = TypeVar("T")


async def hello(request: web.Request) -> web.Response:
    """Fn v1's greeting; to a browser a page that leads on."""
    is_for_people = any("text/html" in accepts for accepts in request.headers.getall("Accept", ()))
    response = start(request) if is_for_people else json_response(Greeting(goto="/v1/apps", hello="world!"))
    response.headers["Vary"] = "Accept"
    return response


async def version(_request: web.Request) -> web.Response:
    return json_response(Version(version=VERSION))


async def healthz(_request: web.Request) -> web.Response:
    """The process answers. Says nothing of its servers: restarting it would not bring them back."""
    return json_response(Health(status="ok"))


async def readyz(request: web.Request) -> web.Response:
    """Calls are accepted: Postgres answers; else 503 that names why. Without Redis async calls are stored, and the body
    says so: this process is ready all the same.
    """
    troubles = await _find_troubles(request, CHECK_S)
    if trouble := troubles["postgres"]:
        others = "".join(
            f"; {name}: {text}" for name, text in troubles.items() if text and name != "postgres"
        )
        raise APIError(503, f"Not ready: postgres: {trouble}{others}", code="not_ready")
    servers = {name: text or "ok" for name, text in troubles.items()}
    return json_response(Readiness(status="degraded" if any(troubles.values()) else "ready", servers=servers))


async def metrics(request: web.Request) -> web.Response:
    """The text exposition. What a server that is away would know is left out; the rest is answered all the same."""
    app, ours = request.app, request.app[METRICS]
    name = app[SETTINGS].queue_name
    ours.followers.set(app[FOLLOWING].count)
    ours.connections.set(app[CONNECTIONS].shares.used)
    troubles, depth, dead = await asyncio.gather(
        _find_troubles(request, DEPTH_S),
        _known(app[QUEUE].depth()),
        _known(app[STORE].count_dead()),
    )
    ours.show_servers(troubles)
    ours.show_queue(name, depth)
    ours.show_dead(name, dead)
    return web.Response(body=ours.render(), headers={"Content-Type": CONTENT_TYPE})


async def _find_troubles(request: web.Request, within_s: float) -> dict[str, str | None]:
    checks = {"postgres": request.app[STORE].check(), "redis": request.app[QUEUE].check()}
    return await find_troubles(checks, within_s)


async def _known(question: Awaitable[T]) -> T | None:
    """The answer, or None from a server that is away."""
    try:
        async with asyncio.timeout(DEPTH_S):
            return await question
    except (MillraceError, TimeoutError):
        return None
