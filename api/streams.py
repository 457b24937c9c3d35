"""Streams: answers that are sent while they come into being, to clients that may read slowly or go away.

A client that takes nothing for WRITE_S is given up. An answer that breaks off says so: its connection is closed without
the end that HTTP would give it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from aiohttp import web

from api.middlewares import finish_headers
from common.errors import NotFoundError
from common.telemetry.logs import get_logger

WRITE_S = 30.0

_log = get_logger("streams")


def is_gone(request: web.BaseRequest) -> bool:
    """Whether the client has gone: its connection was reset. To close its sending side alone is not to go."""
    transport = request.transport
    return transport is None or transport.is_closing()


class Stream:
    """One streamed answer. Made by `streaming`."""

    def __init__(self, request: web.Request, content_type: str) -> None:
        self._request = request
        # A proxy or a browser that gathered or kept it would make it useless.
        headers = {"Content-Type": content_type, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self.response = web.StreamResponse(headers=headers)

    async def open(self) -> None:
        """Send the head."""
        finish_headers(self._request, self.response)
        await self._send(self.response.prepare(self._request))

    async def write(self, data: bytes) -> bool:
        """Send *data*; False if the client has gone, or was given up."""
        return await self._send(self.response.write(data)) if self.response.prepared else False

    def break_off(self) -> None:
        """Close the connection: the client sees that the answer is not complete."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _send(self, sending: Awaitable[object]) -> bool:
        try:
            async with asyncio.timeout(WRITE_S):
                await sending
        except TimeoutError:
            self.break_off()
            return False
        except ConnectionError:
            return False
        return True


@asynccontextmanager
async def streaming(request: web.Request, content_type: str) -> AsyncIterator[Stream]:
    """A stream whose head has been sent: from here on no other answer can be given, so any error only breaks it off."""
    stream = Stream(request, content_type)
    await stream.open()
    try:
        yield stream
    except NotFoundError:
        stream.break_off()  # what it told of was removed meanwhile
    except Exception:  # noqa: BLE001 - the outermost guard of an answer that has begun
        _log.exception("a stream broke off", path=request.path)
        stream.break_off()
