"""The only id factory. Ids are UUIDv7: time-ordered, so that they sort, page and partition by creation."""

from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

AFTER_ALL_IDS = UUID(int=2**128 - 1)
ID_SLACK_S = 600.0  # an id is made up to two minutes before its call's created_at (a body is read), or by another clock


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


def id_bounds(from_time: datetime | None, to_time: datetime | None) -> tuple[UUID, UUID]:
    """From which id on, and before which, all is found that was created between two instants; None: no bound.

    Too wide by ID_SLACK_S at either end, so it saves reading the rest but takes no comparison of created_at's place.
    """
    first = UUID(int=0) if from_time is None else _first_of(from_time.timestamp() - ID_SLACK_S)
    end = AFTER_ALL_IDS if to_time is None else _first_of(to_time.timestamp() + ID_SLACK_S)
    return first, end


def _first_of(instant_s: float) -> UUID:
    """The smallest UUIDv7 of an instant in Unix seconds; before 1970 the smallest of all."""
    return UUID(int=max(0, int(instant_s * 1000)) << 80)
