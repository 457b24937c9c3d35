"""Follows the log files of the children: shows what matters, keeps the files from growing without end."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.local.child import trim_log

POLL_S = 0.5
CHUNK_BYTES = 2**18
SHOWN_AT_ONCE = 10
REPEAT_S = 60.0
LEVELS = {"warning", "error", "critical"}
LEFT_OUT = {"level", "event", "timestamp", "process", "part", "exception", "incarnation"}

Importance = Callable[[str], str]


async def follow(path: Path, importance: Importance, show: Callable[[str], None]) -> None:
    """Show, until cancelled, the lines of *path* that *importance* makes something of; the same text once a minute."""
    reader, shown_at = _Reader(path), dict[str, float]()
    while True:
        await asyncio.sleep(POLL_S)
        now = time.monotonic()
        shown_at = {text: at for text, at in shown_at.items() if now - at < REPEAT_S}
        texts = dict.fromkeys(text for line in reader.new_lines() if (text := importance(line)))
        fresh = [text for text in texts if text not in shown_at]
        shown_at |= dict.fromkeys(fresh, now)
        for text in fresh[:SHOWN_AT_ONCE]:
            show(text)
        if len(fresh) > SHOWN_AT_ONCE:
            show(f"… and {len(fresh) - SHOWN_AT_ONCE} more in {path}")
        trim_log(path)


def warnings_of_ours(line: str) -> str:
    """Return the api's or worker's warning or error in one readable line; empty for anything less."""
    if not line.startswith("{"):
        return line
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        return line
    if fields.get("level") not in LEVELS:
        return ""
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in LEFT_OUT)
    return f"{fields.get('event')} {rest}".rstrip()


def nothing(_line: str) -> str:
    """Show nothing: a server's own log is for looking things up in."""
    return ""


class _Reader:
    """Reads what was appended to a file since the last time, in whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        if not self._path.exists():
            return []
        if self._path.stat().st_size < self._position:  # it was trimmed
            self._position = 0
        with self._path.open("rb") as file:
            file.seek(self._position)
            chunk = file.read(CHUNK_BYTES)
        self._position += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line.decode(errors="replace") for line in lines]
