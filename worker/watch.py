"""Watch: a started container until it has ended, by itself or because a verdict or the clock made us kill it.

The clock runs from here on: waiting for a slot, an image or the engine is not taken from the function's time. A
function that ended by itself is believed only if all of its output arrived and the engine still knows the container.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from common.errors import EngineUnavailableError
from worker.beside import beside
from worker.containers.driver import ContainerDriver
from worker.formats.base import Capture
from worker.outcomes import Ended
from worker.runs import Run, Verdict
from worker.stats import StatsSampler

KILL_S = 10.0  # how long a killed container may take to end before it is removed all the same
LATE_EXIT_S = 30.0  # how long the exit may come after the end of the output
FLUSH_S = 10.0  # how long the last output may take to arrive after the end


class Watch:
    """One container that has just been started."""

    def __init__(self, run: Run, driver: ContainerDriver, capture: Capture) -> None:
        self._run = run
        self._driver = driver
        self._capture = capture
        self.started_at = datetime.now(UTC)

    async def until_ended(self, exchange: Coroutine[Any, Any, None]) -> Ended:
        """Run *exchange* and return how the container ended. It still exists then.

        Raises EngineUnavailableError and ContainerVanishedError when that can't be known for certain.
        """
        sampler = StatsSampler(self._driver, self._run.container)
        exiting = asyncio.create_task(self._driver.wait(self._run.container))
        talking = asyncio.create_task(self._talk(exchange, exiting))
        try:
            async with beside(sampler.run()):
                verdict = await self._first_end(exiting)
            completed_at = datetime.now(UTC)
            await asyncio.wait({talking}, timeout=FLUSH_S)
            exit_code = _exit_code(exiting, talking) if verdict is None else None
        finally:
            await _end(exiting, talking)
        return Ended(
            verdict=verdict,
            exit_code=exit_code,
            oom_killed=bool(exit_code) and await self._driver.was_oom_killed(self._run.container),
            memory_mb=self._run.call.memory,
            capture=self._capture,
            stats=sampler.value(),
            started_at=self.started_at,
            completed_at=completed_at,
        )

    async def _first_end(self, exiting: asyncio.Task[int]) -> Verdict | None:
        """Wait for the exit, a verdict or the time limit; None if the exit came first, else the container is killed.

        The engine may tell late of an exit: what had ended by itself when it was to be killed was in time.
        """
        run = self._run
        either: set[asyncio.Future[Any]] = {exiting, run.stopping}
        await asyncio.wait(either, timeout=run.call.timeout, return_when=asyncio.FIRST_COMPLETED)
        if exiting.done():
            return None
        run.stop(Verdict.TIMED_OUT)
        was_killed = await self._driver.kill(run.container)
        await asyncio.wait({exiting}, timeout=KILL_S)
        if run.verdict is Verdict.TIMED_OUT and not was_killed and exiting.done():
            return None
        return run.verdict

    async def _talk(self, exchange: Coroutine[Any, Any, None], exiting: asyncio.Task[int]) -> None:
        try:
            await exchange
        except EngineUnavailableError:
            self._run.stop(Verdict.BROKEN)
            raise
        # The container's init holds the output open to its end: one that lives on without it has lost its listener.
        await asyncio.wait({exiting}, timeout=LATE_EXIT_S)
        if not exiting.done():
            self._run.stop(Verdict.BROKEN)


def _exit_code(exiting: asyncio.Task[int], talking: asyncio.Task[None]) -> int:
    exit_code = exiting.result()
    if not talking.done():
        raise EngineUnavailableError("Container engine kept output back")
    talking.result()
    return exit_code


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
