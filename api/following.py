"""Following: whoever waits for what becomes of a call is woken when something of it was committed.

One subscription and one reader for the whole process, whoever follows: what is announced is read once, many calls in
one statement, and handed to all who follow it. Announcements may be lost, so every call that is followed is read again
every REREAD_S. A follower ends when its client has gone or may ask no longer, and when the process ends.

Here nothing is decided by what a call is: handlers/follow.py does.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from aiohttp import web

from api.clients import CLIENT
from api.outage import Outage
from api.shares import Shares
from api.streams import is_gone
from common.errors import CallNotFoundError, StoreUnavailableError, TooManyFollowersError
from common.models import Call
from common.queue.base import MessageQueue
from common.store.base import Datastore
from common.telemetry.logs import get_logger

FOLLOWERS_MAX = 1000  # in one process
MANAGEMENT_FOLLOWERS = 50
REREAD_S = 5.0
LOOK_PAUSE_S = 0.5
RETRY_S = 1.0

_log = get_logger("following")


class Follower:
    """One client that follows one call. ``is_over``: it has gone, or shall go: nothing more is of use to it."""

    __slots__ = ("_call", "_is_missing", "_news", "call_id", "is_over", "request")

    def __init__(self, call_id: UUID, request: web.BaseRequest) -> None:
        self.call_id = call_id
        self.request = request
        self.is_over = False
        self._call: Call | None = None
        self._is_missing = False
        self._news = asyncio.Event()

    async def news(self, timeout_s: float) -> Call | None:
        """The call as it was read since the last asking; None if it was not within *timeout_s*, or if this is over.

        Raises CallNotFoundError when there is no such call any more. Safe to cancel.
        """
        if not self.is_over:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        self._news.clear()
        if self._is_missing:
            raise CallNotFoundError
        call, self._call = self._call, None
        return call

    def hear(self, call: Call | None) -> None:
        """The call was read, or is no longer there."""
        self._call = call
        self._is_missing = call is None
        self._news.set()

    def end(self) -> None:
        """Let it wait no longer, now and from here on."""
        self.is_over = True
        self._news.set()


class Following:
    """Owns the tasks that listen, read and look. Made and closed inside the running loop.

    *is_let_in*: whether a request would still be let in; it waits for nothing.
    """

    def __init__(
        self,
        store: Datastore,
        queue: MessageQueue,
        is_let_in: Callable[[web.BaseRequest], bool],
        max_followers: int = FOLLOWERS_MAX,
    ) -> None:
        self._store = store
        self._queue = queue
        self._is_let_in = is_let_in
        self.shares = Shares(max_followers, MANAGEMENT_FOLLOWERS)
        self._followers: dict[UUID, set[Follower]] = {}
        self._is_draining = False
        self._stale: set[UUID] = set()
        self._has_stale = asyncio.Event()
        self._is_busy = asyncio.Event()
        self._outage = Outage("reading calls that are followed")
        self._tasks = [
            asyncio.create_task(task)
            for task in (self._listen_forever(), self._read_forever(), self._look_forever())
        ]

    @property
    def count(self) -> int:
        """How many followers there are."""
        return self.shares.used

    @contextmanager
    def follow(self, call_id: UUID, request: web.BaseRequest) -> Iterator[Follower]:
        """A follower of the call, whether there is one or not: read it after this, and nothing is missed.

        Raises TooManyFollowersError.
        """
        client = request[CLIENT]
        if not self.shares.take(client, 1):
            raise TooManyFollowersError(
                f"{TooManyFollowersError.default_message}: {self.shares.state(client, 'followers')}."
                " End some, or read calls instead of following them"
            )
        follower = Follower(call_id, request)
        if self._is_draining:
            follower.end()
        self._followers.setdefault(call_id, set()).add(follower)
        self._is_busy.set()
        try:
            yield follower
        finally:
            self._forget(follower)

    def drain(self) -> None:
        """End all followers: the process ends."""
        self._is_draining = True
        for follower in self._all():
            follower.end()

    async def aclose(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _all(self) -> list[Follower]:
        return [follower for followers in self._followers.values() for follower in followers]

    def _forget(self, follower: Follower) -> None:
        followers = self._followers[follower.call_id]
        followers.discard(follower)
        if not followers:
            del self._followers[follower.call_id]
        self.shares.give_back(follower.request[CLIENT], 1)
        if not self.shares.used:
            self._is_busy.clear()

    async def _listen_forever(self) -> None:
        while True:
            try:
                async for call_id in self._queue.announcements():
                    if call_id in self._followers:
                        self._stale.add(call_id)
                        self._has_stale.set()
            except Exception:  # noqa: BLE001 - the task's outermost guard: without it only the net would be left
                _log.exception("listening for announcements failed")
                await asyncio.sleep(RETRY_S)

    async def _read_forever(self) -> None:
        while True:
            await self._has_stale.wait()
            self._has_stale.clear()
            stale, self._stale = self._stale & self._followers.keys(), set()
            try:
                await self._read(stale)
                continue
            except StoreUnavailableError as error:
                self._outage.began(error)
            except Exception:  # noqa: BLE001 - the task's outermost guard: one bad read must not end all reading
                _log.exception("reading followed calls failed", count=len(stale))
            self._stale |= stale
            self._has_stale.set()
            await asyncio.sleep(RETRY_S)

    async def _read(self, ids: set[UUID]) -> None:
        if not ids:
            return
        calls = await self._store.get_calls_by_id(list(ids))
        self._outage.ended()
        for call_id in ids:
            for follower in self._followers.get(call_id, ()):
                follower.hear(calls.get(call_id))

    async def _look_forever(self) -> None:
        """End those whose clients have gone or lost their tokens; have all read again when it is time."""
        reread_at_s = 0.0
        while True:
            if not self._is_busy.is_set():
                await self._is_busy.wait()
                reread_at_s = time.monotonic() + REREAD_S
            await asyncio.sleep(LOOK_PAUSE_S)
            for follower in self._all():
                if is_gone(follower.request) or not self._is_let_in(follower.request):
                    follower.end()
            if time.monotonic() >= reread_at_s:
                reread_at_s = time.monotonic() + REREAD_S
                self._stale.update(self._followers)
                self._has_stale.set()
