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


PUSH = _script("push", "ready", "delay", "meta", "state", "wake_async")
RESERVE = _script("reserve", "ready", "delay", "lease", "meta", "dead", "state", "wake_async")
ACK = _script("ack", "lease", "meta")
EXTEND = _script("extend", "lease", "meta")
RELEASE = _script("release", "ready", "delay", "lease", "meta", "state", "wake_async")
RELEASE_INCARNATION = _script("release_incarnation", "ready", "lease", "meta", "dead", "state", "wake_async")
MAINTAIN = _script("maintain", "ready", "delay", "lease", "meta", "dead", "state", "wake_async")
BURY = _script("bury", "meta", "dead")
DEPTH = _script("depth", "ready", "delay", "lease", "meta", "dead")
GENERATION = _script("generation", "state")

ALL = (PUSH, RESERVE, ACK, EXTEND, RELEASE, RELEASE_INCARNATION, MAINTAIN, BURY, DEPTH, GENERATION)
