"""What is below every request: bytes that are no HTTP, heads that are too long, and clients that take no answer.

aiohttp refuses the first two in its protocol, below every middleware, with a text of its own. Here its refusal is
translated to the uniform shape. An answer that nobody takes it would keep for ever, with its connection.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from api.connections import Connections
from api.half_closed import HalfClosedHandler, IncompleteRequestError
from api.heads import refused, refusing
from api.middlewares import APIError, api_error_of
from common.errors import MillraceError

# Of a request's head. aiohttp's defaults, by name.
LINE_MAX_BYTES = 8190  # its first line
HEADER_MAX_BYTES = 8190  # each header's name, and its value
HEADERS_MAX = 128
SEND_S = 120.0  # as long as a request's body may take
_TOO_MANY = "Too many headers"  # how aiohttp's message for that begins: it has no class of its own


class Protocol(HalfClosedHandler):
    """aiohttp's, with errors of ours, and a limit to how long a client may take for an answer."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what never became a request; the connection is closed after it."""
        super().handle_error(request, status, exc, message)  # it writes the log line
        if isinstance(exc, HttpProcessingError):
            return refused(refusal_of(exc))
        return refused(api_error_of(MillraceError()))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer. A client that has not taken it after SEND_S is given up: its connection breaks off."""
        try:
            async with asyncio.timeout(SEND_S):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
            return resp, True


class ProtocolServer(web.Server):
    """Makes a Protocol of ours for each connection."""

    def __init__(self, made: web.Server, counts: Connections, options: dict[str, Any]) -> None:
        super().__init__(refusing(made.request_handler), request_factory=made.request_factory, **options)
        self._counts = counts

    def __call__(self) -> web.RequestHandler:
        return Protocol(self._counts, self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application through a ProtocolServer."""

    def __init__(self, app: web.Application, connections: Connections, **options: Any) -> None:
        self._connections = connections
        super().__init__(
            app,
            max_line_size=LINE_MAX_BYTES,
            max_field_size=HEADER_MAX_BYTES,
            max_headers=HEADERS_MAX,
            **options,
        )

    async def _make_server(self) -> web.Server:
        return ProtocolServer(await super()._make_server(), self._connections, self._kwargs)


def refusal_of(error: HttpProcessingError) -> APIError:
    """431 for a head that is too long, 400 for what is no HTTP or only the beginning of a request."""
    if isinstance(error, IncompleteRequestError):
        return APIError(400, "Request ended before its head did", code="http_malformed")
    if isinstance(error, LineTooLong):
        limit = f"{LINE_MAX_BYTES} bytes for the first line, {HEADER_MAX_BYTES} for a header's value"
        return APIError(431, f"Request head too large: the limit is {limit}", code="head_too_large")
    if error.message.startswith(_TOO_MANY):
        return APIError(431, f"Too many headers: the limit is {HEADERS_MAX}", code="head_too_large")
    return APIError(400, "Malformed HTTP request", code="http_malformed")
