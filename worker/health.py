"""The worker's own HTTP server: /healthz (the process lives), /readyz (it takes calls), /metrics. Nothing else."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import (
    ForbiddenError,
    ForeignClientError,
    ForeignHostError,
    ForeignOriginError,
    MillraceError,
    SettingsError,
    StoreUnavailableError,
    UnauthorizedError,
)
from common.models import Error, ErrorBody
from common.settings import Settings
from common.telemetry.checks import find_troubles
from common.telemetry.logs import get_logger
from common.telemetry.metrics import CONTENT_TYPE
from worker.access import Access
from worker.metrics import Metrics

CHECK_S = 2.0
PORT_MARGIN_S = 30.0  # beyond the drain: how long a child that lost its supervisor may hold the port
PORT_RETRY_S = 0.5

log = get_logger("health")


_STATUS: dict[type[MillraceError], int] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    ForeignClientError: 403,
    ForeignHostError: 403,
    ForeignOriginError: 403,
}


class Watched(NamedTuple):
    """What of a worker is asked at each request. ``checks``: a new question to each server."""

    why_not_ready: Callable[[], str | None]
    checks: Callable[[], dict[str, Awaitable[object]]]
    access: Access


class Health:
    """What the server shows. Until ``attach`` the worker is starting: not ready, and its metrics are nobody's."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._watched: Watched | None = None

    def attach(self, watched: Watched) -> None:
        """Show what this worker's parts say from now on."""
        self._watched = watched

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """Whether calls are taken now; else 503 that names every cause."""
        if self._watched is None:
            return web.json_response({"status": "starting"}, status=503)
        troubles = await find_troubles(self._watched.checks(), CHECK_S)
        causes = [f"{server}: {trouble}" for server, trouble in troubles.items() if trouble]
        if (reason := self._watched.why_not_ready()) is not None:
            causes.insert(0, reason)
        servers = {server: trouble or "ok" for server, trouble in troubles.items()}
        return web.json_response(
            {"status": "; ".join(causes) or "ready", "servers": servers}, status=503 if causes else 200
        )

    async def metrics(self, request: web.Request) -> web.Response:
        try:
            if self._watched is None:
                raise StoreUnavailableError("The worker is starting: it does not know yet who may read this")
            await self._watched.access.check(request)
        except MillraceError as error:
            status = _STATUS.get(type(error), 503)
            body = Error(error=ErrorBody(message=error.message, code=error.slug, fields=error.field))
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            return web.json_response(msgspec.to_builtins(body), status=status, headers=headers)
        self._metrics.show_servers(await find_troubles(self._watched.checks(), CHECK_S))
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    @asynccontextmanager
    async def serve(self, settings: Settings) -> AsyncIterator[None]:
        """Listen on ``worker_host:worker_port``. Raises SettingsError if that can't be had.

        A port that is taken is waited for as long as a predecessor without its supervisor may still drain on it.
        """
        app = web.Application(middlewares=[_refuse_in_json])
        app.on_response_prepare.append(_name_no_library)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await _listen(runner, settings)
            yield
        finally:
            await runner.cleanup()


@web.middleware
async def _refuse_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.json_response({"error": {"message": error.reason}}, status=error.status, headers=allowed)


async def _name_no_library(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "millrace"


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    where = f"{settings.worker_host}:{settings.worker_port}"
    give_up_at = time.monotonic() + settings.drain_s + PORT_MARGIN_S
    has_said = False
    while True:
        site = web.TCPSite(runner, settings.worker_host, settings.worker_port)
        try:
            await site.start()
        except OSError as error:
            await site.stop()  # or the runner would keep it
            if error.errno != errno.EADDRINUSE or time.monotonic() >= give_up_at:
                raise SettingsError(
                    f"MILLRACE_WORKER_PORT: can't listen on {where}: {error.strerror}",
                    field="MILLRACE_WORKER_PORT",
                ) from error
            if not has_said:
                log.warning(
                    "port is taken, perhaps by a worker that drains",
                    variable="MILLRACE_WORKER_PORT",
                    where=where,
                )
                has_said = True
            await asyncio.sleep(PORT_RETRY_S)
        else:
            return
