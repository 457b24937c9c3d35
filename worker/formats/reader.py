"""What the readers of hot formats have in common: one response, nothing after it, and no second chance."""

import re
from abc import ABC, abstractmethod
from typing import ClassVar

from msgspec.structs import replace

from worker.formats.base import BadResponseError, Response


class OneResponseReader(ABC):
    """See ResponseReader. A reader that raised once raises at every later feed; a complete one keeps its response.

    Once that is to be forgotten, it keeps one without headers and body in its place.
    """

    excess: ClassVar[re.Pattern[bytes]]  # what may not come after the response

    def __init__(self) -> None:
        self._response: Response | None = None
        self._is_broken = False

    def feed(self, data: bytes | memoryview) -> Response | None:
        if self._is_broken:
            raise BadResponseError("the response was malformed before")
        piece, start = bytes(data), 0
        try:
            if self._response is None:
                start = self._read(piece)
            if self.excess.search(piece, start):
                raise BadResponseError("the function wrote more than one response")
        except BadResponseError:
            self._is_broken = True
            raise
        return self._response

    def end(self) -> Response | None:
        return self._response

    def forget(self) -> None:
        if self._response is not None:
            self._response = replace(self._response, headers={}, body=b"")

    @abstractmethod
    def _read(self, piece: bytes) -> int:
        """Take *piece* in and return how many of its bytes belong to the response; keep that once it is complete."""
