"""Reading request bodies: as bytes, each within its limit, all together within a budget, and not for ever.

Never makes room for what a client merely declares, and never decompresses: a payload stays the bytes that came.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from api.middlewares import APIError
from common.errors import BodyTooLargeError, CallTimeoutServerBusyError, InvalidPayloadError

BODIES_MAX_BYTES = 256 * 1024 * 1024
BODY_READ_S = 120.0


class BodyBudget:
    """What the bodies of all requests under way may take, from their first byte until their call is stored.

    ``unpacking`` is for who reads values out of a large one: for that while they take several times its size.
    """

    def __init__(self, max_bytes: int = BODIES_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0
        self.unpacking = asyncio.Lock()

    @asynccontextmanager
    async def body(self, request: web.Request, limit_bytes: int) -> AsyncIterator[bytes]:
        """The whole body; it counts until the block is left.

        Raises BodyTooLargeError, CallTimeoutServerBusyError when the budget is used up, InvalidPayloadError for one
        that breaks off or breaks the framing, and APIError 408 for one that takes longer than BODY_READ_S.
        """
        if (request.content_length or 0) > limit_bytes:
            raise _too_large(limit_bytes)
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(BODY_READ_S):
                    async for chunk in request.content.iter_any():
                        self._take(len(chunk), len(body), limit_bytes)
                        body += chunk
            except (web.RequestPayloadError, OSError) as error:
                raise _broken(error) from error
            yield bytes(body)
        finally:
            self.held_bytes -= len(body)

    def _take(self, more_bytes: int, had_bytes: int, limit_bytes: int) -> None:
        if had_bytes + more_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        if self.held_bytes + more_bytes > self._max_bytes:
            raise CallTimeoutServerBusyError
        self.held_bytes += more_bytes


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"{BodyTooLargeError.default_message}: the limit is {limit_bytes} bytes")


def _broken(error: Exception) -> Exception:
    if isinstance(error, TimeoutError):
        return APIError(408, "Request body did not arrive in time", code="body_timeout")
    return InvalidPayloadError()
