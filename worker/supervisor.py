"""The supervisor: a small parent that keeps one worker child running, and cleans up after one that died.

Each start of the child is an incarnation with an id of its own. The child holds calls, containers and leases; this
process holds nothing, so that there is little in it that could fail. It never runs a call.

    start child ──▶ it runs ──▶ it died ──▶ clean up ──▶ wait (0.2 s, doubling to 10 s) ──▶ start child
                       └─▶ SIGTERM, SIGINT ──▶ SIGTERM to the child, which drains ──▶ end
                                                 └─▶ a later SIGINT, or too late ──▶ SIGKILL, clean up ──▶ end
"""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from common.models import new_id
from common.telemetry.logs import get_logger
from worker.backoff import Backoff

CHILD_ARGUMENT = "--incarnation"
EXIT_FATAL = 2  # the child must not run as it is: starting it again would change nothing
RESET_AFTER_S = 60.0
STOP_MARGIN_S = 25.0  # beyond the drain: what the child needs to give calls back and to close

log = get_logger("supervisor")


class Supervisor:
    """Runs until it is told to stop. *clean_up* undoes what a dead incarnation holds; it raises nothing."""

    def __init__(self, clean_up: Callable[[UUID], Awaitable[None]], drain_s: float) -> None:
        self._clean_up = clean_up
        self._stop_within_s = drain_s + STOP_MARGIN_S
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._backoff = Backoff(0.2, 10)

    async def run(self) -> int:
        """The exit code: 0 after an orderly stop, 1 after a forced one, 2 if the child must not run as it is."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, number)
        while not self._stop.is_set():
            incarnation, started_at_s = new_id(), time.monotonic()
            exit_code = await self._run_child(incarnation)
            if exit_code == EXIT_FATAL:
                return EXIT_FATAL
            # A child that our SIGTERM ended had no handler for it yet, and so held nothing yet.
            if self._stop.is_set() and exit_code in (0, -signal.SIGTERM):
                return 0
            lived_s = time.monotonic() - started_at_s
            log.warning(
                "child ended", incarnation=incarnation, exit_code=exit_code, lived_s=round(lived_s, 1)
            )
            is_forced = self._stop.is_set()
            await self._clean_up(incarnation)
            if is_forced:
                return 1
            if lived_s >= RESET_AFTER_S:
                self._backoff.reset()
            await self._pause(self._backoff.next_s())
        return 0

    def _signalled(self, number: int) -> None:
        """A second SIGTERM says nothing new: a service manager sends one to every process, our parent one more."""
        if self._stop.is_set() and number == signal.SIGINT:
            self._stop_now.set()
        self._stop.set()

    async def _run_child(self, incarnation: UUID) -> int | None:
        """Start the child and wait until it died or was stopped; its exit code, None if it could not be started."""
        try:
            child = await _start(incarnation)
        except OSError:
            log.exception("child can't be started")
            return None
        ended = asyncio.create_task(child.wait())
        await _first(ended, self._stop, None)
        with suppress(ProcessLookupError):
            if not ended.done():
                child.terminate()
                await _first(ended, self._stop_now, self._stop_within_s)
            if not ended.done():
                log.error("child does not end, killing it")
                child.kill()
        return await ended

    async def _pause(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stop.wait()


async def _first(ended: asyncio.Task[int], event: asyncio.Event, timeout_s: float | None) -> None:
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({ended, waiting}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _start(incarnation: UUID) -> Process:
    """Start the child. Its stdin stays open for as long as we live: its end tells the child that we are gone."""
    child = await asyncio.create_subprocess_exec(
        # The child must be found where this process was: -P keeps the current folder off its path, too.
        *(sys.executable, *(["-P"] if sys.flags.safe_path else [])),
        *("-m", "worker", CHILD_ARGUMENT, str(incarnation)),
        stdin=PIPE,
        process_group=0,  # out of the way of the terminal's Ctrl-C
    )
    log.info("child started", incarnation=incarnation, pid=child.pid)
    return child
