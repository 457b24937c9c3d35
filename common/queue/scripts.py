"""The Lua scripts: which keys each one takes, and its full text with the shared parts put in.

A script is told its keys (``KEYS``) and computes none. Runs nothing; redis.py does. ``replies``, where a script has it,
is its last key: which list it is comes with the call.
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
_TICKETS = ("sync", "message")
_TICKETS_AND_ENDED = (*_TICKETS, "ended")
REPLIES = "replies"

PUSH = _script("push", "ready", "delay", "meta", "state", "wake_sync", "wake_async", *_TICKETS_AND_ENDED)
RESERVE = _script("reserve", *_ALL_PLACES, *_TICKETS)
ACK = _script("ack", "lease", "meta", *_TICKETS_AND_ENDED)
REPLY = _script("reply", "lease", "meta", *_TICKETS_AND_ENDED, REPLIES)
EXTEND = _script("extend", "lease", "meta")
RELEASE = _script("release", *_ALL_PLACES)
RELEASE_INCARNATION = _script(
    "release_incarnation", "ready", "lease", "meta", "dead", "state", "wake_sync", "wake_async"
)
CANCEL = _script("cancel", "ready", "delay", "lease", "meta", *_TICKETS_AND_ENDED, "cancelled")
WITHDRAW = _script("withdraw", "lease", "ready", "delay", "meta", *_TICKETS_AND_ENDED)
TRACE = _script("trace", "sync", "ended")
MAINTAIN = _script("maintain", *_ALL_PLACES, "sync", "ended")
DEAD = _script("dead", "meta", "dead", *_TICKETS)
BURY = _script("bury", "meta", "dead", *_TICKETS_AND_ENDED)
BURY_REPLIED = _script("bury_replied", "meta", "dead", *_TICKETS_AND_ENDED, REPLIES)
SEED_TOKEN = _script("seed_token", "state")
PAUSE = _script("pause", "state", "wake_sync", "wake_async", "ready", "dead", "sync")
RESUME = _script("resume", "ready", "delay", "state", "wake_sync", "wake_async")
PEEK = _script("peek", "ready", "meta")
DEPTH = _script("depth", "ready", "delay", "lease", "meta", "dead", "state")
GENERATION = _script("generation", "state")

ALL = (
    *(PUSH, RESERVE, ACK, REPLY, EXTEND, RELEASE, RELEASE_INCARNATION, CANCEL, WITHDRAW, TRACE),
    *(MAINTAIN, DEAD, BURY, BURY_REPLIED, SEED_TOKEN, PAUSE, RESUME, PEEK, DEPTH, GENERATION),
)
