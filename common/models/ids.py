"""The only id factory. Ids are UUIDv7: time-ordered, so that they sort, page and partition by creation."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7 (48 bits of Unix milliseconds, then random bits)."""
    return uuid7()


def parse_id(text: str) -> UUID | None:
    """*text* as an id in its canonical spelling, else None: other spellings name nothing."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text.lower() else None
