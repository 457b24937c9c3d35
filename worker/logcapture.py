"""What a function prints, kept up to a limit. Bytes stay the bytes they were; nothing here decodes."""


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

    def value(self) -> bytes:
        return bytes(self._kept)


class CallLog(CappedBuffer):
    """A call's stderr. A cut one says so at its end, in Fn v1's words."""

    def value(self) -> bytes:
        if not self.overflowed:
            return super().value()
        mark = f"\n-----max log size {self._max_bytes} bytes exceeded, truncating log-----\n"
        return super().value() + mark.encode()
