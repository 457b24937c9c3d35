"""Quotas: how many async calls an app may have that have not ended, and how much may be stored of its calls.

Nothing is counted for a single call. What an app has is read now and then, and what was let in since is added. So an
app may pass its quota by what other api processes let in between two readings of this one: READ_AGE_S, and longer where
an app has very much, as no more than a WORK_SHARE-th of the time is spent on reading.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from api.outage import Outage
from common.errors import AppCallsFullError, AppStorageFullError, QuotaExceededError, StoreUnavailableError
from common.models import Call
from common.settings import Settings
from common.store.base import Datastore

READ_AGE_S = 10.0
FULL_READ_AGE_S = 1.0
PATIENCE_S = 0.25  # how long a call waits for a reading before it is judged by the last one
WORK_SHARE = 20
MAX_APPS = 10_000  # that are remembered, those that submitted last
RECORD_BYTES = 512
MB = 1024 * 1024


def stored_bytes(call: Call) -> int:
    """What is stored of a call before it has run, about: the store counts exactly."""
    headers = sum(len(name) + len(value) for name, values in call.headers.items() for value in values)
    return RECORD_BYTES + len(call.url) + headers + len(call.payload or b"")


class Quotas:
    """Both quotas of every app. Makes no promise for sync calls: what they leave is their record and log."""

    def __init__(self, store: Datastore, settings: Settings) -> None:
        most = settings.app_max_calls
        self._calls = _Quota(
            most,
            lambda name: store.count_unfinished(name, most + 1),
            lambda has: AppCallsFullError(
                f"The app has {has} calls that have not ended, and may have {most} (MILLRACE_APP_MAX_CALLS):"
                " wait until some have ended, or cancel some"
            ),
        )
        most_mb = settings.app_max_stored_mb
        self._bytes = _Quota(
            most_mb * MB,
            store.sum_stored_bytes,
            lambda has: AppStorageFullError(
                f"Of the app's calls {has // MB} MB are stored, and {most_mb} MB may be"
                " (MILLRACE_APP_MAX_STORED_MB): calls that have ended are deleted after MILLRACE_CALLS_KEEP_DAYS"
            ),
        )

    async def admit(self, app_name: str, size_bytes: int) -> None:
        """Count a call in. Raises AppCallsFullError, AppStorageFullError. Safe to cancel."""
        await self._calls.admit(app_name, 1)
        try:
            await self._bytes.admit(app_name, size_bytes)
        except BaseException:
            self._calls.withdraw(app_name, 1)
            raise

    def withdraw(self, app_name: str, size_bytes: int) -> None:
        """Count a call out again that was let in but not stored."""
        self._calls.withdraw(app_name, 1)
        self._bytes.withdraw(app_name, size_bytes)

    async def aclose(self) -> None:
        """Cancel the readings under way."""
        await self._calls.aclose()
        await self._bytes.aclose()


class _Usage:
    """What an app has, as far as it is known here."""

    __slots__ = ("asked_at_s", "known", "reading", "since")

    def __init__(self) -> None:
        self.known = 0
        self.since = 0
        self.asked_at_s = -math.inf
        self.reading: asyncio.Task[None] | None = None


class _Quota:
    """One quota of every app. One reading at a time, whatever the number of apps."""

    def __init__(
        self,
        most: int,
        read: Callable[[str], Awaitable[int]],
        error: Callable[[int], QuotaExceededError],
    ) -> None:
        self._most = most
        self._read = read
        self._error = error
        self._apps: dict[str, _Usage] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._rests_until_s = 0.0
        self._outage = Outage("reading what apps have")

    async def admit(self, app_name: str, amount: int) -> None:
        usage = self._apps.pop(app_name, None) or _Usage()
        self._apps[app_name] = usage  # the last of them all
        if len(self._apps) > MAX_APPS:
            del self._apps[next(iter(self._apps))]
        await self._look(app_name, usage, is_full=usage.known + usage.since + amount > self._most)
        if usage.known + usage.since + amount > self._most:
            raise self._error(usage.known + usage.since)
        usage.since += amount

    async def _look(self, app_name: str, usage: _Usage, *, is_full: bool) -> None:
        """Have it read if that is due; wait a moment for a reading that may change the answer."""
        now_s = time.monotonic()
        if usage.reading is None and now_s - usage.asked_at_s >= (FULL_READ_AGE_S if is_full else READ_AGE_S):
            is_full = is_full or usage.asked_at_s == -math.inf
            usage.asked_at_s = now_s
            usage.reading = asyncio.create_task(self._refresh(app_name, usage))
            self._tasks.add(usage.reading)
            usage.reading.add_done_callback(self._tasks.discard)
        patience_s = usage.asked_at_s + PATIENCE_S - now_s
        if is_full and usage.reading is not None and patience_s > 0:
            await asyncio.wait({usage.reading}, timeout=patience_s)

    def withdraw(self, app_name: str, amount: int) -> None:
        if usage := self._apps.get(app_name):
            usage.since = max(0, usage.since - amount)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _refresh(self, app_name: str, usage: _Usage) -> None:
        try:
            async with self._turn:
                await asyncio.sleep(self._rests_until_s - time.monotonic())
                before, begun_s = usage.since, time.monotonic()
                try:
                    usage.known = await self._read(app_name)
                finally:  # also after a reading that took too long: the next one would, too
                    now_s = time.monotonic()
                    self._rests_until_s = now_s + WORK_SHARE * (now_s - begun_s)
                # What was let in meanwhile may be counted twice, until the next reading.
                usage.since = max(0, usage.since - before)
                self._outage.ended()
        except StoreUnavailableError as error:
            self._outage.began(error)
        finally:
            usage.reading = None
