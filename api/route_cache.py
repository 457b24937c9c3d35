"""RouteCache: where invocation finds routes, at most a second old, each with the revision that its calls refer to.

Holds only routes that exist; a miss is asked again. Changes made through this process are seen at once, those made
elsewhere within the second.
"""

import asyncio
import time

from msgspec import Struct

from common.models import Route, RouteRevision
from common.store.base import Datastore

TTL_S = 1.0
MAX_ENTRIES = 10_000

Key = tuple[str, str]


class FoundRoute(Struct, frozen=True, kw_only=True):
    """A route with its revision, which the store may not have. ``fresh_until_s`` on the monotonic clock."""

    route: Route
    revision: RouteRevision
    fresh_until_s: float


class RouteCache:
    """Routes by app and path. Loads of one route that come together are one load."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._entries: dict[Key, FoundRoute] = {}
        self._loads: dict[Key, asyncio.Task[FoundRoute]] = {}
        self._tasks: set[asyncio.Task[FoundRoute]] = set()

    async def get(self, app_name: str, path: str) -> FoundRoute:
        """The route. Safe to cancel.

        Raises AppsNotFoundError, RoutesNotFoundError, StoreUnavailableError, and InvalidConfigError when the configs of
        app and route are too large together.
        """
        key = (app_name, path)
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() < entry.fresh_until_s:
            return entry
        task = self._loads.get(key) or self._start_load(key)
        # The load belongs to the cache: the caller that happened to come first may go away without failing the others.
        return await asyncio.shield(task)

    def forget(self, app_name: str, path: str | None = None) -> None:
        """See a change that was just made to a route, or to an app and with it to all its routes."""
        for kept in (self._entries, self._loads):
            for key in [key for key in kept if key[0] == app_name and path in (None, key[1])]:
                del kept[key]

    async def aclose(self) -> None:
        """Cancel the loads under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_load(self, key: Key) -> asyncio.Task[FoundRoute]:
        task = self._loads[key] = asyncio.create_task(self._load(key))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end_load(key, done))
        return task

    def _end_load(self, key: Key, task: asyncio.Task[FoundRoute]) -> None:
        self._tasks.discard(task)
        # A load that was forgotten meanwhile may have read what is no longer true: its callers get it, nobody after.
        is_current = self._loads.get(key) is task
        if is_current:
            del self._loads[key]
        if task.cancelled() or task.exception() is not None:
            return
        if is_current:
            self._keep(key, task.result())

    def _keep(self, key: Key, found: FoundRoute) -> None:
        self._entries.pop(key, None)
        self._entries[key] = found
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]

    async def _load(self, key: Key) -> FoundRoute:
        asked_at_s = time.monotonic()
        app = await self._store.get_app(key[0])
        route = await self._store.get_route(*key)
        return FoundRoute(
            route=route, revision=RouteRevision.of(app, route), fresh_until_s=asked_at_s + TTL_S
        )
