"""What happened, as it was seen from outside: by clients, by functions, by the database, and by whoever did harm.

Only records. Instants are Unix seconds of this machine, which all who are asked share.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

FINAL = frozenset({"success", "error", "cancelled"})


class Accepted(Struct, frozen=True, kw_only=True, tag=True):
    """A client got 202 for its call. ``order``: the how-manieth of this client; ``tries``: requests that took."""

    at: float
    call_id: str
    client: int
    order: int
    tries: int
    took_s: float


class Refused(Struct, frozen=True, kw_only=True, tag=True):
    """A request for a call got no 202. ``why``: the status of the answer, or what became of the connection."""

    at: float
    why: str
    took_s: float


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    """A sync caller got an answer that names its call."""

    at: float
    call_id: str
    status: int


class Seen(Struct, frozen=True, kw_only=True, tag=True):
    """A client saw a call in a final state: *outcome* is all that the api says of it."""

    at: float
    call_id: str
    outcome: str


class Began(Struct, frozen=True, kw_only=True, tag=True):
    """A function said that a call begins in it."""

    at: float
    call_id: str
    attempt: int
    container: str
    incarnation: str
    path: str


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    """A function said that it is done with a call."""

    at: float
    call_id: str
    attempt: int
    container: str


class Changed(Struct, frozen=True, kw_only=True, tag=True):
    """The row of a call changed; written by the database itself."""

    at: float
    call_id: str
    old_status: str
    status: str
    attempt: int
    token: int
    incarnation: str


class Killed(Struct, frozen=True, kw_only=True, tag=True):
    """kill -9. ``victim``: child, orphan (a child without its supervisor), supervisor, api.

    ``incarnation``: of the child; of a supervisor, the one that it leaves behind.
    """

    at: float
    victim: str
    unit: str
    incarnation: str = ""


class Fault(Struct, frozen=True, kw_only=True, tag=True):
    """Something else was wrong from ``at`` to ``until``, which explains calls that were delivered again."""

    at: float
    until: float
    name: str


Event = Accepted | Refused | Answered | Seen | Began | Ended | Changed | Killed | Fault
Kind = TypeVar("Kind", Accepted, Refused, Answered, Seen, Began, Ended, Changed, Killed, Fault)


class Row(Struct, frozen=True, kw_only=True):
    """A call as it stands in the database at the end."""

    call_id: str
    type: str
    status: str
    detail: str
    attempt: int
    priority: int
    order_no: int
    incarnation: str
    started_at: float | None
    completed_at: float | None
    result: str


class History:
    """Events in the order in which they became known."""

    def __init__(self, events: Iterable[Event] = (), rows: Iterable[Row] = ()) -> None:
        self.events: list[Event] = list(events)
        self.rows = {row.call_id: row for row in rows}

    def add(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """All events of one kind, by time."""
        return sorted((event for event in self.events if isinstance(event, kind)), key=lambda event: event.at)

    def by_call(self, kind: type[Kind]) -> dict[str, list[Kind]]:
        """The events of one kind that have a call, by the call, each list by time."""
        found: dict[str, list[Kind]] = {}
        for event in self.of(kind):
            found.setdefault(_call_of(event), []).append(event)
        return found

    def save(self, path: Path) -> None:
        """Write everything down, a JSON object a line: what can't be explained can be looked at later."""
        with path.open("wb") as file:
            for item in (*self.events, *self.rows.values()):
                file.write(msgspec.json.encode(item) + b"\n")


def _call_of(event: Any) -> str:
    return str(event.call_id)
