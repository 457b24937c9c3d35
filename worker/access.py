"""Who may read a worker's /metrics: the rule of the api.

While no token exists, only programs of this machine may. Otherwise a token of scope admin is needed. Web pages are
refused: one that points its own host name at this machine by the Host header, one of another origin by the Origin and
Sec-Fetch-Site headers. /healthz and /readyz are open to everybody, because probes send no token.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from common.errors import (
    ForbiddenError,
    ForeignClientError,
    ForeignHostError,
    ForeignOriginError,
    StoreUnavailableError,
    UnauthorizedError,
)
from common.loopback import LOCAL_HOST, is_loopback
from common.models import Scope, Token, hash_secret

FRESH_S = 2.0
STALE_S = 600.0  # without Postgres the tokens read last count for so long, as at the api

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)


class Access:
    """Goes by the tokens that *read* returns, read again when they are older than FRESH_S."""

    def __init__(self, read: Callable[[], Awaitable[Sequence[Token]]]) -> None:
        self._read = read
        self._tokens: dict[bytes, Token] = {}
        self._read_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def check(self, request: web.Request) -> None:
        """Return if *request* may read the metrics.

        Raises UnauthorizedError, ForbiddenError, ForeignClientError, ForeignHostError or ForeignOriginError if it may
        not, StoreUnavailableError if the tokens can't be read.
        """
        tokens = await self._known()
        if not tokens:
            _check_local(request)
            return
        match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
        token = tokens.get(hash_secret(match[1])) if match else None
        if token is None:
            raise UnauthorizedError
        if token.scope is not Scope.ADMIN:
            raise ForbiddenError

    async def _known(self) -> dict[bytes, Token]:
        async with self._reading:
            if time.monotonic() - self._read_at_s >= FRESH_S:
                try:
                    self._tokens = {token.hash: token for token in await self._read()}
                    self._read_at_s = time.monotonic()
                except StoreUnavailableError:
                    if time.monotonic() - self._read_at_s >= STALE_S:
                        raise
            return self._tokens


def _check_local(request: web.Request) -> None:
    if not is_loopback(request.remote or ""):
        raise ForeignClientError
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not LOCAL_HOST.fullmatch(hosts[0]) or not request.raw_path.startswith("/"):
        raise ForeignHostError(field="Host")
    if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") not in (
        "none",
        "same-origin",
    ):
        raise ForeignOriginError(field="Origin")
