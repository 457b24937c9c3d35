"""Finds the end of one JSON object that comes in pieces. Each byte is looked at once, long strings at memchr's speed.

It knows strings, escapes and nesting, nothing else: whether the object is valid JSON is for a decoder to say, once.
"""

import re

from worker.formats.base import BadResponseError, ResponseTooLargeError

MAX_DEPTH = 64
MAX_TOKENS = 250_000  # brackets and strings: each costs the event loop up to a microsecond

_BLANKS = b" \t\r\n"
_MARK = re.compile(
    rb"[^-+.,:0-9A-Za-z \t\r\n]"
)  # what matters outside of strings, or may not be there at all


class ObjectScanner:
    """Keeps the object as it comes: ``object``. It and the blanks before it may have *max_bytes* together."""

    def __init__(self, max_bytes: int) -> None:
        self.object = bytearray()
        self._left_bytes = max_bytes
        self._left_tokens = MAX_TOKENS
        self._depth = 0
        self._in_string = False
        self._is_escaped = False  # the next byte follows a backslash

    def scan(self, piece: bytes) -> int | None:
        """Where the object ends in *piece*, None if it goes on. Not to be called after its end.

        Raises BadResponseError for what can't become one object, ResponseTooLargeError for more than *max_bytes*.
        """
        start = 0 if self.object else len(piece) - len(piece.lstrip(_BLANKS))
        if not self.object and piece[start : start + 1] not in (b"", b"{"):
            raise BadResponseError("what the function wrote is no JSON object")
        end = self._end(self._without_escapes(piece), start)
        stop = len(piece) if end is None else end
        self._left_bytes -= stop
        if self._left_bytes < 0:
            raise ResponseTooLargeError("the object of the response is too large")
        self.object += piece[start:stop]
        return end

    def _without_escapes(self, piece: bytes) -> bytes:
        r"""*piece* with NULs for ``\\`` and ``\"``, so that every quote left in it begins or ends a string."""
        if self._is_escaped and piece:
            piece = b"\0" + piece[1:]
            self._is_escaped = False
        piece = piece.replace(rb"\\", b"\0\0")
        self._is_escaped = self._is_escaped or piece.endswith(b"\\")
        return piece.replace(rb"\"", b"\0\0")

    def _end(self, piece: bytes, at: int) -> int | None:
        while True:
            if self._in_string:
                at = piece.find(b'"', at) + 1
                if not at:
                    return None
                self._in_string = False
            found = _MARK.search(piece, at)
            if not found:
                return None
            at = found.end()
            self._mark(found[0])
            if not self._depth:
                return at

    def _mark(self, mark: bytes) -> None:
        self._left_tokens -= 1
        if mark == b'"':
            self._in_string = True
        elif mark in b"{[":
            self._depth += 1
        elif mark in b"}]":
            self._depth -= 1
        else:
            raise BadResponseError("the object of the response is malformed")
        if self._depth > MAX_DEPTH or self._left_tokens < 0:
            raise BadResponseError("the object of the response is too intricate")
