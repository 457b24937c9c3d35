"""What a function prints, kept up to a limit. Bytes stay the bytes they were; nothing here decodes."""

import time

from common.models import LogMarks

MARK_EVERY_MS = 10
MARKS_MAX = 2000


class CappedBuffer:
    """The first *max_bytes* of what is appended."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self.overflowed = False

    def append(self, data: bytes | memoryview) -> None:
        """Keep what still fits, drop the rest, and remember that something was dropped."""
        room = self._max_bytes - len(self._kept)
        self._kept += data[:room]
        self.overflowed = self.overflowed or len(data) > room

    @property
    def size_bytes(self) -> int:
        return len(self._kept)

    def part(self, first: int, max_bytes: int) -> bytes:
        """Up to *max_bytes* of what was kept, from byte *first* on."""
        return bytes(self._kept[first : first + max_bytes])

    def value(self) -> bytes:
        return bytes(self._kept)


class CallLog(CappedBuffer):
    """A call's stderr, and when which part of it came. A cut one says so at its end, in Fn v1's words."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._marks: list[tuple[int, int]] = []
        self._mark_every_ms = MARK_EVERY_MS

    def append(self, data: bytes | memoryview) -> None:
        if not self.overflowed:
            self._mark()
        super().append(data)

    def _mark(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        if self._marks and now_ms - self._marks[-1][1] < self._mark_every_ms:
            return
        self._marks.append((self.size_bytes, now_ms))
        if len(self._marks) == MARKS_MAX:  # a long run's marks are thinned, so that they stay few
            self._marks = self._marks[::2]
            self._mark_every_ms *= 2

    def marks(self) -> LogMarks:
        """When which part came: its first byte and Unix ms."""
        return tuple(self._marks)

    def value(self) -> bytes:
        if not self.overflowed:
            return super().value()
        mark = f"\n-----max log size {self._max_bytes} bytes exceeded, truncating log-----\n"
        return super().value() + mark.encode()
