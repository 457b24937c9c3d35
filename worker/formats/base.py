"""WireFormat: how one call is handed to a container and how its answer is read back. Each format is one module.

A format decides the environment and speaks on the streams. It starts, times and kills nothing: that is the executor's.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from common.models import Call
from worker.containers.attach import AttachStream
from worker.logcapture import CallLog, CappedBuffer


class Capture(Struct, frozen=True, kw_only=True):
    """Where a call's output goes while it runs, so that what came before a kill is kept."""

    result: CappedBuffer
    log: CallLog


class WireFormat(Protocol):
    """One way to speak with a function."""

    def environment(self, call: Call, payload: bytes) -> dict[str, str]:
        """The variables of the container that runs *call*."""
        ...

    async def exchange(
        self, stream: AttachStream, payload: bytes, capture: Capture, on_overflow: Callable[[], None]
    ) -> None:
        """Hand *payload* over and capture the answer until it is complete; then return.

        Never stops reading: *on_overflow* is called once the result is larger than its buffer, the rest is dropped.
        Raises EngineUnavailableError when the streams break. Safe to cancel; what was captured stays.
        """
        ...
