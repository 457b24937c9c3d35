"""Bytes of users on a terminal. Only what goes to a terminal is changed: files and pipes get the bytes."""

import codecs

from common.telemetry.harmless import harmless


class HarmlessStream:
    """Makes a stream of bytes harmless text, piece by piece. What is no UTF-8 is shown as escapes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """What may be printed now. Held back: a character that is not complete, and a CR that may belong to a LF."""
        text = self._held + self._decoder.decode(data)
        self._held = "\r" if text.endswith("\r") else ""
        return harmless(text.removesuffix(self._held).replace("\r\n", "\n"))
