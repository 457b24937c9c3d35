"""PulledImages: which images of the engine this worker's machine pulled, and when each was used last.

One file for each name, so that several workers share the folder without a lock. Losing the folder is harmless: what is
not known to be pulled is never removed. Methods block for a moment: call them in a thread.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from common.telemetry.logs import get_logger

log = get_logger("images")


class Pulled(Struct, frozen=True, kw_only=True):
    """A pulled image by its name, and the content that it had then."""

    name: str
    id: str


class PulledImages:
    """The folder of these files. Raises nothing; a failed write is logged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, image_id: str) -> None:
        """*name* was just pulled."""
        file = self._file(name)
        draft = file.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_bytes(msgspec.json.encode(Pulled(name=name, id=image_id)))
            draft.replace(file)
        except OSError as error:
            log.warning("pulled image not noted, it will not be removed", image=name, cause=str(error))

    def was_pulled(self, name: str, image_id: str) -> bool:
        """Whether *name* was pulled and is still that content. It counts as used now."""
        file = self._file(name)
        if _read(file) != Pulled(name=name, id=image_id):
            return False
        with suppress(OSError):
            os.utime(file)
        return True

    def unused_since(self, time_s: float) -> list[Pulled]:
        """Those that were not used after *time_s* (Unix seconds), least recently used first."""
        found = []
        with suppress(OSError):
            for file in self._folder.glob("*.json"):
                with suppress(OSError):
                    used_at, pulled = file.stat().st_mtime, _read(file)
                    if pulled is not None and used_at <= time_s:
                        found.append((used_at, pulled.name, pulled))
        return [pulled for _, _, pulled in sorted(found, key=lambda entry: entry[:2])]

    def forget(self, name: str) -> None:
        """*name* is gone, or not ours any more."""
        with suppress(OSError):
            self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def _read(file: Path) -> Pulled | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Pulled)
    except (OSError, msgspec.MsgspecError):
        return None
