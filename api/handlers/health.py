"""/, /version, /healthz, /readyz, /metrics: what this process is and how it does."""

import asyncio
import math

from aiohttp import web

from api import VERSION
from api.keys import CONNECTIONS, FOLLOWING, METRICS, QUEUE, STORE
from api.middlewares import APIError
from api.overviews import Greeting, Health, Version
from api.pages import start
from api.schemas import json_response
from common.errors import MillraceError, QueueUnavailableError, ServerUnusableError
from common.queue.base import Depth
from common.telemetry.metrics import CONTENT_TYPE, Metrics

CHECK_S = 5.0
DEPTH_S = 2.0


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
    """Postgres and Redis answer; else 503 that names who does not."""
    checks = {"Postgres": request.app[STORE].check(), "Redis": request.app[QUEUE].check()}
    answers = await asyncio.gather(
        *(asyncio.wait_for(check, CHECK_S) for check in checks.values()), return_exceptions=True
    )
    troubles = []
    for name, answer in zip(checks, answers, strict=True):
        if isinstance(
            answer, ServerUnusableError
        ):  # its text names the server: for the log, not for everybody
            troubles.append(f"{name}: {answer.default_message}")
        elif isinstance(answer, MillraceError):
            troubles.append(f"{name}: {answer.message}")
        elif isinstance(answer, TimeoutError):
            troubles.append(f"{name}: no answer within {CHECK_S:g} s")
        elif answer is not None:
            raise answer
    if troubles:
        raise APIError(503, "Not ready: " + "; ".join(troubles), code="not_ready")
    return json_response(Health(status="ready"))


async def metrics(request: web.Request) -> web.Response:
    """The text exposition. Without Redis the queue's gauges are left out or NaN; the rest is answered all the same."""
    ours = request.app[METRICS]
    ours.followers.set(request.app[FOLLOWING].count)
    ours.connections.set(request.app[CONNECTIONS].shares.used)
    try:
        async with asyncio.timeout(DEPTH_S):
            _show(ours, await request.app[QUEUE].depth())
    except (QueueUnavailableError, TimeoutError):
        ours.queue_ready.clear()
        ours.queue_calls.clear()
        for gauge in (ours.queue_oldest_s, ours.queue_paused, ours.queue_unaccounted):
            gauge.set(math.nan)
    return web.Response(body=ours.render(), headers={"Content-Type": CONTENT_TYPE})


def _show(ours: Metrics, depth: Depth) -> None:
    for priority, count in enumerate(depth.ready):
        ours.queue_ready.labels(str(priority)).set(count)
    ours.queue_ready.labels("sync").set(depth.ready_sync)
    for state in ("delayed", "due", "leased", "expired", "dead"):
        ours.queue_calls.labels(state).set(getattr(depth, state))
    ours.queue_oldest_s.set((depth.oldest_ready_ms or 0) / 1000)
    ours.queue_paused.set(depth.is_paused)
    ours.queue_unaccounted.set(depth.unaccounted)
