"""Text that Postgres can take: no NUL, no lone surrogates. Names, headers and messages from outside may hold both."""

import re

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """*text* to be kept, with U+FFFD for what can't be."""
    return _UNSTORABLE.sub("\ufffd", text)


def storable_headers(headers: dict[str, list[str]]) -> dict[str, list[str]]:
    """*headers* to be kept, names and values."""
    return {storable(name): [storable(value) for value in values] for name, values in headers.items()}


def searchable(text: str) -> str:
    """*text* to be looked up: no stored name holds a control character, so what can't be stored is not found."""
    return _UNSTORABLE.sub("\x1a", text)
