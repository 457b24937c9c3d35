"""How errors speak of what somebody gave: the value, bounded and on one line, and the name that was probably meant."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

MAX_SHOWN_CHARS = 60
MAX_NAME_CHARS = 100  # of an unknown name that is compared with those that are known
_KINDS: dict[type, str] = {dict: "an object", list: "a list", tuple: "a list", bytes: "bytes"}


def shown(value: object) -> str:
    """*value* as JSON in one printable line of at most MAX_SHOWN_CHARS characters; objects and lists by their kind."""
    if type(value) in _KINDS:
        return _KINDS[type(value)]
    text = value[: MAX_SHOWN_CHARS + 1] if isinstance(value, str) else value
    return one_line(json.dumps(text, ensure_ascii=False, default=str), MAX_SHOWN_CHARS)


def one_line(text: str, max_chars: int = MAX_NAME_CHARS) -> str:
    """*text* without what would move a terminal, cut to *max_chars*."""
    cut = text if len(text) <= max_chars else text[: max_chars - 1] + "…"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *name* was probably meant to be, whatever its case; None if none is close."""
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name[:MAX_NAME_CHARS].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest of *known*, with a blank before it; without one an empty text."""
    found = nearest(name, known)
    return f" Did you mean {found}?" if found else ""


def choice(value: str, choices: Iterable[str]) -> str:
    """What came instead of one of *choices*, which they are, and the nearest one."""
    choices = list(choices)
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]
    return f"got {shown(value)}, but it must be {listed}.{did_you_mean(value, choices)}"
