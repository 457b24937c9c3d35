"""What a format is. Cold ones run a call in a container of its own, hot ones speak with a container that stays.

A format decides what is written and how the answer is read. It starts, times and kills nothing: that is the executor's.
The readers of hot formats are pure: bytes in, a Response out; every trouble with what a function writes is a
BadResponseError, after which its container must not be used again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from common.models import Call, Headers
from worker.containers.attach import AttachStream
from worker.logcapture import CallLog, CappedBuffer


class Capture(Struct, frozen=True, kw_only=True):
    """Where a call's output goes while it runs, so that what came before a kill is kept."""

    result: CappedBuffer
    log: CallLog


class ColdFormat(Protocol):
    """One way to run a call in a container of its own."""

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


class Response(Struct, frozen=True, kw_only=True):
    """What a hot function answered. ``is_last``: it said that it takes no further call, so its container is done."""

    status: int
    headers: Headers
    body: bytes
    is_last: bool = False


class BadResponseError(Exception):
    """The function broke its protocol. The text is for the caller and the call's record: what was wrong, no content."""


class ResponseTooLargeError(BadResponseError):
    """The body is larger than it may be."""


class ResponseReader(Protocol):
    """Reads exactly one response. Fed in pieces of any size; linear time, and bounded memory, whatever comes."""

    def feed(self, data: bytes | memoryview) -> Response | None:
        """The response once it is complete, else None. Raises BadResponseError.

        A byte after the response is an error too: of this feed, or of every later one.
        """
        ...

    def end(self) -> Response | None:
        """Stdout was closed: the response if that completes it, else None."""
        ...

    def forget(self) -> None:
        """Let go of the response: who fed it has it. What comes after it is judged as before."""
        ...


class HotFormat(Protocol):
    """One way to speak with a container that stays. Stateless: a reader for each call."""

    def request(self, call: Call, payload: bytes, deadline: datetime) -> Sequence[bytes]:
        """What to write to stdin for *call*, in order; *payload* itself is not copied where that can be."""
        ...

    def reader(self, call: Call, max_bytes: int) -> ResponseReader:
        """A reader for the response to *call*, whose body may have *max_bytes*."""
        ...
