"""The Lua scripts: which keys each one takes, and its full text with the shared parts put in.

A script is told its keys (``KEYS``) and computes none. Runs nothing; redis.py does.
"""

import re
from functools import cache
from hashlib import sha1
from pathlib import Path

from msgspec import Struct

LUA = Path(__file__).with_name("lua")
_INCLUDE = re.compile(r"^-- include: (\w+\.lua)\n", re.MULTILINE)


class Script(Struct, frozen=True):
    """A script ready to send. ``keys`` are field names of Keys, in the order of KEYS; ``sha`` is what EVALSHA takes."""

    name: str
    keys: tuple[str, ...]
    text: str
    sha: str


def _script(name: str, *keys: str) -> Script:
    text = _INCLUDE.sub(lambda match: _source(match[1]), _source(f"{name}.lua"))
    return Script(name, keys, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def _source(file_name: str) -> str:
    return (LUA / file_name).read_text("utf-8")


_ALL_PLACES = ("ready", "delay", "lease", "meta", "dead", "state", "wake_sync", "wake_async")

PUSH = _script("push", "ready", "delay", "meta", "state", "wake_sync", "wake_async")
RESERVE = _script("reserve", *_ALL_PLACES)
ACK = _script("ack", "lease", "meta")
EXTEND = _script("extend", "lease", "meta")
RELEASE = _script("release", *_ALL_PLACES)
RELEASE_INCARNATION = _script(
    "release_incarnation", "ready", "lease", "meta", "dead", "state", "wake_sync", "wake_async"
)
CANCEL = _script("cancel", "ready", "delay", "lease", "meta", "cancelled")
MAINTAIN = _script("maintain", *_ALL_PLACES)
BURY = _script("bury", "meta", "dead")
PAUSE = _script("pause", "state", "wake_sync", "wake_async")
RESUME = _script("resume", "ready", "delay", "state", "wake_sync", "wake_async")
PEEK = _script("peek", "ready", "meta")
DEPTH = _script("depth", "ready", "delay", "lease", "meta", "dead", "state")
GENERATION = _script("generation", "state")

ALL = (
    *(PUSH, RESERVE, ACK, EXTEND, RELEASE, RELEASE_INCARNATION, CANCEL),
    *(MAINTAIN, BURY, PAUSE, RESUME, PEEK, DEPTH, GENERATION),
)
