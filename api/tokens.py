"""TokenCache: the tokens that this process goes by, at most a few seconds old. Decides nothing: access.py does.

All of them are held, since they are few: a wrong one costs no look-up, and whether there are any at all is part of it.
A change through this process counts at once. Without Postgres those last read go on for STALE_S, then nobody is let in.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from aiohttp import web

from common.errors import StoreUnavailableError
from common.models import Token, hash_secret
from common.store.base import Datastore
from common.telemetry.logs import get_logger

TTL_S = 2.0
STALE_S = 600.0
LOAD_S = 2.0  # how long a request waits for Postgres, when there are older ones to go by
RETRY_S = 1.0

# The token of the request; None or absent where none was needed.
TOKEN: web.RequestKey[Token | None] = web.RequestKey("token")

_log = get_logger("access")
_NEEDED = "there are tokens now: each request needs one"
_NOT_NEEDED = "there is no token: only this machine is served, and it needs none"


class TokenSet:
    """All tokens at one instant."""

    def __init__(self, tokens: Iterable[Token], read_at_s: float) -> None:
        self._by_hash = {token.hash: token for token in tokens}
        self.read_at_s = read_at_s

    @property
    def exist(self) -> bool:
        return bool(self._by_hash)

    def has(self, token: Token) -> bool:
        """Whether *token* is one of them."""
        return token.hash in self._by_hash

    def find(self, secret: str) -> Token | None:
        """The token of this secret. Nothing about other secrets can be learnt from how long it takes."""
        given = hash_secret(secret)
        token = self._by_hash.get(given)
        return token if token is not None and hmac.compare_digest(token.hash, given) else None


class TokenCache:
    """The tokens of *store*. Loads that come together are one load, which the cache owns. ``clock`` in seconds."""

    def __init__(self, store: Datastore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: TokenSet | None = None
        self._fresh_until_s = 0.0
        self._load: asyncio.Task[TokenSet] | None = None
        self._tasks: set[asyncio.Task[TokenSet]] = set()
        self._exist = True  # unless it is known better: then nobody is let in without one

    async def get(self) -> TokenSet:
        """The tokens. Safe to cancel. Raises StoreUnavailableError when there are none that may still be gone by."""
        if self._known is not None and self._clock() < self._fresh_until_s:
            return self._known
        self._load = self._load or self._start_load()
        return await asyncio.shield(self._load)

    def exist(self) -> bool:
        """Whether there were any when last read. Waits for nothing, but has them read again when that is long ago."""
        if self._load is None and self._clock() >= self._fresh_until_s:
            self._load = self._start_load()
        return self._exist

    def holds(self, token: Token | None) -> bool:
        """Whether who was let in by *token*, or as there was none, still would be, as far as is known. As `exist`."""
        exist = self.exist()
        if self._known is None:
            return True
        return not exist if token is None else self._known.has(token)

    async def reread(self) -> None:
        """Forget what was read, and read again: a token was just made or revoked. Nobody is let in before that."""
        self._known, self._load, self._fresh_until_s = None, None, 0.0
        with suppress(StoreUnavailableError):
            await self.get()

    async def aclose(self) -> None:
        """Cancel the loads under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_load(self) -> asyncio.Task[TokenSet]:
        task = asyncio.create_task(self._read(self._known))
        self._tasks.add(task)
        task.add_done_callback(self._end_load)
        return task

    async def _read(self, known: TokenSet | None) -> TokenSet:
        """What the store has; what is *known* if the store is away and that is not too old."""
        asked_at_s = self._clock()
        try:
            async with asyncio.timeout(LOAD_S if known else None):  # the store bounds its own waits
                return TokenSet(await self._store.get_tokens(), asked_at_s)
        except (StoreUnavailableError, TimeoutError) as error:
            if known is None or self._clock() >= known.read_at_s + STALE_S:
                raise StoreUnavailableError from error
            return known

    def _end_load(self, task: asyncio.Task[TokenSet]) -> None:
        self._tasks.discard(task)
        # One that began before a change may have read what is no longer true: its callers get it, nobody after.
        is_current = self._load is task
        if is_current:
            self._load = None
        if task.cancelled() or task.exception() is not None or not is_current:
            return
        self._keep(task.result())

    def _keep(self, tokens: TokenSet) -> None:
        is_old = tokens is self._known
        self._fresh_until_s = self._clock() + RETRY_S if is_old else tokens.read_at_s + TTL_S
        if tokens.exist != self._exist:
            _log.info(_NEEDED if tokens.exist else _NOT_NEEDED)
        self._known, self._exist = tokens, tokens.exist
