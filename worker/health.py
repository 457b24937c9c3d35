"""The worker's own HTTP server: /healthz (the process lives), /readyz (it takes calls), /metrics. Nothing else."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import SettingsError
from common.settings import Settings
from common.telemetry.logs import get_logger
from common.telemetry.metrics import CONTENT_TYPE, Metrics

PORT_MARGIN_S = 30.0  # beyond the drain: how long a child that lost its supervisor may hold the port
PORT_RETRY_S = 0.5

log = get_logger("health")


class Health:
    """What the server shows. ``why_not_ready`` is asked at each /readyz; None means ready."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.why_not_ready: Callable[[], str | None] = lambda: "starting"

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        reason = self.why_not_ready()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": reason}, status=503)

    async def metrics(self, _request: web.Request) -> web.Response:
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
