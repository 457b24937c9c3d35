"""The worker's own HTTP server: /healthz (the process lives), /readyz (it takes calls), /metrics. Nothing else."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from common.errors import SettingsError
from common.settings import Settings
from common.telemetry.metrics import CONTENT_TYPE, Metrics


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
        """Listen on ``worker_host:worker_port``. Raises SettingsError if that can't be had."""
        app = web.Application()
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, settings.worker_host, settings.worker_port).start()
            except OSError as error:
                where = f"{settings.worker_host}:{settings.worker_port}"
                raise SettingsError(
                    f"MILLRACE_WORKER_PORT: can't listen on {where}: {error.strerror}",
                    field="MILLRACE_WORKER_PORT",
                ) from error
            yield
        finally:
            await runner.cleanup()
