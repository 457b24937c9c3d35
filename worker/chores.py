"""Chores: the background parts of a worker, which run for as long as it lives. A failure of one never ends the worker.

Each chore handles the errors that it expects. An unexpected one is logged, and the chore's ``run`` is called again.
Its state is in the object, so nothing is lost by that.
"""

from typing import Protocol

from common.telemetry.logs import get_logger
from worker.backoff import Backoff
from worker.causes import cause_of

log = get_logger("chores")


class Chore(Protocol):
    """Runs until it is cancelled."""

    async def run(self) -> None: ...


async def keep_running(chore: Chore) -> None:
    """Run *chore* until cancelled, again and again if it fails."""
    backoff = Backoff(0.2, 5)
    while True:
        try:
            await chore.run()
        except Exception as error:
            log.exception(
                "a part of the worker failed and begins again",
                chore=type(chore).__name__,
                cause=f"{type(error).__name__}: {cause_of(error)}",
            )
        await backoff.sleep()
