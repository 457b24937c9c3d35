"""Reading request bodies: as bytes, each within its limit, all together within a budget, and not for ever.

Never makes room for what a client merely declares, and never decompresses: a payload stays the bytes that came.
Of the budget each client has a share, and management a reserve. A body that stalls is ended: what came of it counts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from api.clients import CLIENT
from api.middlewares import APIError
from api.shares import Shares
from common.errors import BodyTooLargeError, CallTimeoutServerBusyError, InvalidPayloadError

BODIES_MAX_BYTES = 256 * 1024 * 1024
MANAGEMENT_BYTES = 16 * 1024 * 1024
BODY_READ_S = 120.0
STALL_BYTES = 16 * 1024


class BodyBudget:
    """What the bodies of all requests under way may take, from their first byte until their call is stored.

    A body that brings less than STALL_BYTES in *stall_s* has stalled. ``unpacking`` is for who reads values out of a
    large one: for that while they take several times its size.
    """

    def __init__(self, stall_s: float, max_bytes: int = BODIES_MAX_BYTES) -> None:
        self.shares = Shares(max_bytes, MANAGEMENT_BYTES)
        self.unpacking = asyncio.Lock()
        self._stall_s = stall_s

    @property
    def held_bytes(self) -> int:
        """What all of them take now."""
        return self.shares.used

    @asynccontextmanager
    async def body(self, request: web.Request, limit_bytes: int) -> AsyncIterator[bytes]:
        """The whole body; it counts until the block is left.

        Raises BodyTooLargeError, CallTimeoutServerBusyError when the budget or the client's share of it is used up,
        InvalidPayloadError for one that breaks off or breaks the framing, and APIError 408 for one that stalls or takes
        longer than BODY_READ_S.
        """
        if (request.content_length or 0) > limit_bytes:
            raise _too_large(limit_bytes)
        body = bytearray()
        try:
            await self._read(request, body, limit_bytes)
            yield bytes(body)
        finally:
            self.shares.give_back(request[CLIENT], len(body))

    async def _read(self, request: web.Request, body: bytearray, limit_bytes: int) -> None:
        now_s = asyncio.get_running_loop().time
        ends_at_s = now_s() + BODY_READ_S
        wanted_bytes = STALL_BYTES
        try:
            async with asyncio.timeout(min(self._stall_s, BODY_READ_S)) as timeout:
                async for chunk in request.content.iter_any():
                    self._take(request, len(chunk), len(body), limit_bytes)
                    body += chunk
                    if len(body) >= wanted_bytes:
                        wanted_bytes = len(body) + STALL_BYTES
                        timeout.reschedule(min(now_s() + self._stall_s, ends_at_s))
        except TimeoutError as error:
            raise self._late() from error
        except (web.RequestPayloadError, OSError) as error:
            raise InvalidPayloadError from error

    def _take(self, request: web.Request, more_bytes: int, had_bytes: int, limit_bytes: int) -> None:
        if had_bytes + more_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        if not self.shares.take(request[CLIENT], more_bytes, at_least=limit_bytes):
            busy = CallTimeoutServerBusyError.default_message
            raise CallTimeoutServerBusyError(
                f"{busy}: of request bodies under way {self.shares.state(request[CLIENT], 'bytes')}."
                " Wait until some of them have ended"
            )

    def _late(self) -> APIError:
        return APIError(
            408,
            f"Request body did not arrive in time: it may take {BODY_READ_S:g} s, and should bring at least"
            f" {STALL_BYTES} bytes in each {self._stall_s:g} s",
            code="body_timeout",
        )


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"{BodyTooLargeError.default_message}: the limit is {limit_bytes} bytes")
