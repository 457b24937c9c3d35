"""A server on loopback that answers what a test wants, and remembers what it was asked."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self

from aiohttp import web
from click.testing import CliRunner, Result

from deploy.cli import main

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Asked(NamedTuple):
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class StubApi:
    """Runs in a thread of its own. What has no answer is 404, as the api says it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def answers(self, method: str, path: str, body: Any, status: int = 200, **headers: str) -> None:
        """Answer *path* so, in JSON unless *body* is bytes; of a list one after the other, then the last."""
        bodies = body if isinstance(body, list) else [body]

        async def answer(_request: web.Request) -> web.Response:
            now = bodies.pop(0) if len(bodies) > 1 else bodies[0]
            text = now if isinstance(now, bytes) else json.dumps(now).encode()
            return web.Response(status=status, body=text, headers=headers)

        self._handlers[method, path] = answer

    def refuses(self, method: str, path: str, status: int, message: str, code: str, **headers: str) -> None:
        self.answers(method, path, {"error": {"message": message, "code": code}}, status, **headers)

    def handles(self, method: str, path: str, handler: Handler) -> None:
        self._handlers[method, path] = handler

    def run(self, *arguments: str, payload: bytes = b"", **environ: str) -> Result:
        """The command, asking this api."""
        return run(self.url, *arguments, payload=payload, **environ)

    def _serve(self) -> None:
        self._loop.run_until_complete(self._start())
        self._is_up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        headers = dict(request.headers.items())
        self.asked.append(Asked(request.method, path, dict(request.query), headers, await request.read()))
        handler = self._handlers.get((request.method, path))
        if handler is None:
            error = {"error": {"message": "Path not found", "code": "path_not_found"}}
            return web.json_response(error, status=404)
        return await handler(request)


def run(url: str, *arguments: str, payload: bytes = b"", **environ: str) -> Result:
    """The command, asking the api at *url*."""
    return invoke("--url", url, *arguments, payload=payload, **environ)


def invoke(*arguments: str, payload: bytes = b"", **environ: str) -> Result:
    """The command with these settings."""
    variables = {f"MILLRACE_{name.upper()}": value for name, value in environ.items()}
    return CliRunner().invoke(main, arguments, input=payload, env=variables)
