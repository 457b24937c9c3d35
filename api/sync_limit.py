"""SyncLimit: how many sync calls of one app this process has under way at once, waiting and running together.

So one app can't queue so many that those of others wait behind them for ever: they wait behind CALLS_PER_SLOT for each
slot at most. Keeping slots free for others would leave them idle while nobody else asks; who wants that sets a number.
"""

import asyncio
import time

from api.outage import Outage
from common.errors import AppSyncCallsFullError, StoreUnavailableError
from common.store.base import Datastore

CALLS_PER_SLOT = 16
CALLS_MIN = 256
READ_AGE_S = 10.0


class SyncLimit:
    """*fixed*, or with 0 what the slots of all live workers allow, read now and then. Without Postgres the last one."""

    def __init__(self, store: Datastore, fixed: int) -> None:
        self._store = store
        self._fixed = fixed
        self._slots = 0
        self._read_at_s = -READ_AGE_S
        self._reading: asyncio.Task[None] | None = None
        self._outage = Outage("reading the slots of workers")

    def check(self, calls: int) -> None:
        """Raise AppSyncCallsFullError for an app that has *calls* under way already."""
        most = self._most()
        if calls >= most:
            raise AppSyncCallsFullError(
                f"{calls} sync calls of the app are under way, and {most} may be (MILLRACE_APP_MAX_SYNC_CALLS):"
                " ask again when some have ended, or call asynchronously"
            )

    async def aclose(self) -> None:
        """Cancel a reading under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _most(self) -> int:
        if self._fixed:
            return self._fixed
        if self._reading is None and time.monotonic() - self._read_at_s >= READ_AGE_S:
            self._read_at_s = time.monotonic()
            self._reading = asyncio.create_task(self._read())
        return max(CALLS_MIN, CALLS_PER_SLOT * self._slots)

    async def _read(self) -> None:
        try:
            self._slots = await self._store.live_slots()
            self._outage.ended()
        except StoreUnavailableError as error:
            self._outage.began(error)
        finally:
            self._reading = None
