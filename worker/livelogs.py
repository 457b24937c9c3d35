"""LiveLogs: keeps in the store what calls write to stderr while they still run.

So a log can be followed, and a worker that dies leaves the logs of its calls. All calls of this worker share one write
a second, in which each has at most CHUNK_BYTES; the end of a call writes its whole log. Nothing is written for a call
that is another's by now: the store compares tokens. What can't be written, as the store is away, is written later.
"""

import asyncio

from common.errors import StoreUnavailableError
from common.queue.announcer import Announcer
from common.store.base import Datastore, LogChunk
from common.telemetry.logs import get_logger
from worker.logcapture import CallLog
from worker.runs import Run

INTERVAL_S = 1.0
CHUNK_BYTES = 64 * 1024
BATCH_CALLS = 64  # in one statement

log = get_logger("live-logs")


class _Growing:
    """The log of a call that runs; ``written_bytes`` of it are in the store."""

    def __init__(self, run: Run, call_log: CallLog) -> None:
        self._run = run
        self._call_log = call_log
        self.written_bytes = 0

    def next_chunk(self) -> LogChunk | None:
        """What to write next, None if there is nothing new."""
        first, chunk = self.written_bytes, self._call_log.part(self.written_bytes, CHUNK_BYTES)
        if not chunk:
            return None
        end = first + len(chunk)
        marks = tuple(mark for mark in self._call_log.marks() if mark[0] < end)
        return LogChunk(id=self._run.call.id, token=self._run.token, first=first, chunk=chunk, marks=marks)


class LiveLogs:
    """Writes until it is cancelled. While no call lasts it sends nothing."""

    def __init__(self, store: Datastore, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer
        self._growing: set[_Growing] = set()
        self._has_some = asyncio.Event()

    async def show(self, run: Run, call_log: CallLog) -> None:
        """Have the log of an async call written as it grows, until this is cancelled."""
        growing = _Growing(run, call_log)
        self._growing.add(growing)
        self._has_some.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._growing.discard(growing)

    async def run(self) -> None:
        while True:
            if not self._growing:
                self._has_some.clear()
                await self._has_some.wait()
            try:
                await self._write()
            except StoreUnavailableError:
                log.warning("logs of running calls not written", count=len(self._growing))
            except Exception:
                log.exception("logs of running calls can't be written")
            await asyncio.sleep(INTERVAL_S)

    async def _write(self) -> None:
        new = [(growing, chunk) for growing in self._growing if (chunk := growing.next_chunk())]
        for start in range(0, len(new), BATCH_CALLS):
            batch = new[start : start + BATCH_CALLS]
            held = await self._store.extend_logs([chunk for _, chunk in batch])
            self._announcer.tell(held)
            for growing, chunk in batch:
                if chunk.id in held:
                    growing.written_bytes += len(chunk.chunk)
                else:
                    self._growing.discard(growing)  # it has ended, or is another's
