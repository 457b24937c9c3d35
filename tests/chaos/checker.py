"""The history checker: what must not have happened, found in what was seen. Pure; asks nobody and repairs nothing.

A call is delivered again when it is claimed once more. That is explained by the death of whoever had it, by another
fault that was on meanwhile, or by its worker, which gave it back; everything else is a finding.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from tests.chaos.history import (
    FINAL,
    Accepted,
    Answered,
    Began,
    Changed,
    Ended,
    Fault,
    History,
    Killed,
    Row,
    Seen,
)

TOO_MANY_ATTEMPTS = "too_many_attempts"
SYNC = "sync"

KILL, FAULT, GIVEN_BACK = "kill", "fault", "given back"  # what may explain a call that is delivered again


class Finding(Struct, frozen=True, kw_only=True):
    """Something that must not be. ``kind`` is the name of the check that found it."""

    kind: str
    call_id: str
    text: str


class Redelivery(Struct, frozen=True, kw_only=True):
    """A call claimed a second time or later. ``cause`` is empty if nothing explains it."""

    call_id: str
    attempt: int
    lost_at: float
    claimed_at: float
    cause: str


def check(history: History) -> list[Finding]:
    """Everything that must not be."""
    checks = (
        lost,
        unasked,
        stuck,
        failed,
        duplicated_results,
        wrong_results,
        duplicated_starts,
        overlapping_starts,
        unexplained_redeliveries,
    )
    return [finding for one in checks for finding in one(history)]


def lost(history: History) -> list[Finding]:
    """Calls that were accepted and are not there, or were given up."""
    findings = []
    for accepted in history.of(Accepted):
        row = history.rows.get(accepted.call_id)
        if row is None:
            findings.append(_finding("lost", accepted.call_id, "accepted, and no row of it"))
        elif row.detail == TOO_MANY_ATTEMPTS:
            findings.append(_finding("lost", accepted.call_id, f"given up after {row.attempt} attempts"))
    return findings


def unasked(history: History) -> list[Finding]:
    """Async calls that no client was told of: a request that was asked again, and became a second call."""
    accepted = {one.call_id for one in history.of(Accepted)}
    return [
        _finding("unasked", row.call_id, f"{row.status}, and nobody has its id")
        for row in history.rows.values()
        if row.type != SYNC and row.call_id not in accepted
    ]


def stuck(history: History) -> list[Finding]:
    """Calls that have no end at the end, whether a client knows of them or not."""
    return [
        _finding("stuck", row.call_id, f"{row.status}, attempt {row.attempt}")
        for row in history.rows.values()
        if row.status not in FINAL
    ]


def failed(history: History) -> list[Finding]:
    """Async calls that ended in another way than their functions did, which never fail."""
    return [
        _finding("failed", row.call_id, f"{row.status} {row.detail}, attempt {row.attempt}")
        for row in history.rows.values()
        if row.type != SYNC
        and row.status in FINAL
        and row.status != "success"
        and row.detail != TOO_MANY_ATTEMPTS
    ]


def duplicated_results(history: History) -> list[Finding]:
    """Calls with two ends: in the eyes of clients over time, or in the database's own record of its changes."""
    findings = []
    for call_id, seen in history.by_call(Seen).items():
        outcomes = list(dict.fromkeys(one.outcome for one in seen))
        if len(outcomes) > 1:
            findings.append(
                _finding("duplicated result", call_id, f"clients saw {' and then '.join(outcomes)}")
            )
    for call_id, changes in history.by_call(Changed).items():
        after_the_end = [change for change in changes if change.old_status in FINAL]
        if after_the_end:
            change = after_the_end[0]
            text = f"{change.old_status} became {change.status}, token {change.token}"
            findings.append(_finding("duplicated result", call_id, text))
    return findings


def wrong_results(history: History) -> list[Finding]:
    """Calls whose result is not that of the attempt that the record names: the function answers with both."""
    return [
        _finding("wrong result", row.call_id, f"{row.result!r} of attempt {row.attempt}")
        for row in history.rows.values()
        if row.type != SYNC and row.status == "success" and row.result != f"{row.call_id} {row.attempt}"
    ]


def duplicated_starts(history: History) -> list[Finding]:
    """Functions that were started more often than their calls were claimed; a sync call may begin only once."""
    claims = _claims(history)
    syncs = {answered.call_id for answered in history.of(Answered)}
    findings = []
    for call_id, begun in history.by_call(Began).items():
        row = history.rows.get(call_id)
        if call_id in syncs or (row is not None and row.type == SYNC):
            allowed = 1
        elif row is None:
            continue  # a sync call whose caller and whose record are lost both: nothing is known of it
        else:
            allowed = len(claims.get(call_id, ()))
        if len(begun) > allowed:
            text = f"begun {len(begun)} times: {[one.attempt for one in begun]}, claimed {allowed} times"
            findings.append(_finding("duplicated start", call_id, text))
    return findings


def overlapping_starts(history: History) -> list[Finding]:
    """Calls whose earlier attempt came to its end after a later one had begun: two of one at a time.

    A fault explains it: whoever had the call needs a moment to learn that it is another's.
    """
    begun, faults = history.by_call(Began), history.of(Fault)
    findings = []
    for call_id, ended in history.by_call(Ended).items():
        for end in ended:
            later = [one for one in begun.get(call_id, ()) if one.attempt > end.attempt and one.at < end.at]
            if later and not any(fault.at <= end.at and later[0].at <= fault.until for fault in faults):
                text = (
                    f"attempt {end.attempt} ended {end.at - later[0].at:.3f} s after {later[0].attempt} began"
                )
                findings.append(_finding("overlapping starts", call_id, text))
    return findings


def unexplained_redeliveries(history: History) -> list[Finding]:
    """Calls that were delivered again for no reason that is known."""
    return [
        _finding(
            "unexplained redelivery",
            one.call_id,
            f"claimed at {one.lost_at:.3f} and again as attempt {one.attempt} at {one.claimed_at:.3f}",
        )
        for one in redeliveries(history)
        if not one.cause
    ]


def redeliveries(history: History) -> list[Redelivery]:
    """Every claim of a call after its first."""
    deaths, orphanings = _kills(history, "child", "orphan"), _kills(history, "supervisor")
    faults = history.of(Fault)
    given_back = {
        change.token
        for change in history.of(Changed)
        if change.old_status == "running" and change.status == "queued"
    }

    def cause(before: Changed, after: Changed) -> str:
        was_given_back = before.token in given_back
        if deaths.get(before.incarnation, math.inf) < after.at:
            return KILL
        if was_given_back and orphanings.get(before.incarnation, math.inf) < after.at:
            return KILL  # a child that lost its supervisor takes nothing more, and gives back what it has just taken
        if any(fault.at <= after.at and fault.until >= before.at for fault in faults):
            return FAULT
        return GIVEN_BACK if was_given_back else ""

    return [
        Redelivery(
            call_id=after.call_id,
            attempt=after.attempt,
            lost_at=before.at,
            claimed_at=after.at,
            cause=cause(before, after),
        )
        for claims in _claims(history).values()
        for before, after in pairwise(claims)
    ]


def restarts_s(history: History) -> list[float]:
    """How long after the kill of a child each call that it had begun began again, in seconds, shortest first."""
    kills = _kills(history, "child")
    return sorted(
        after.at - kills[before.incarnation]
        for begun in history.by_call(Began).values()
        for before, after in pairwise(begun)
        if before.incarnation in kills and before.at <= kills[before.incarnation] < after.at
    )


def inversions(rows: Iterable[Row]) -> list[Finding]:
    """Calls that started after one of their priority that was accepted later: for one client, one slot and no fault."""
    findings = []
    by_priority: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.order_no):
        by_priority.setdefault(row.priority, []).append(row)
    for ordered in by_priority.values():
        for earlier, later in pairwise(ordered):
            if (
                earlier.started_at is None
                or later.started_at is None
                or later.started_at < earlier.started_at
            ):
                text = (
                    f"started at {later.started_at}, and {earlier.call_id} before it at {earlier.started_at}"
                )
                findings.append(_finding("order inversion", later.call_id, text))
    return findings


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of the sorted *values* does not exceed; None of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _kills(history: History, *victims: str) -> dict[str, float]:
    """When an incarnation's process of that kind was killed."""
    return {kill.incarnation: kill.at for kill in history.of(Killed) if kill.victim in victims}


def _claims(history: History) -> dict[str, list[Changed]]:
    """Of each call, the changes that gave it to a worker: each has a token of its own."""
    found: dict[str, list[Changed]] = {}
    for call_id, changes in history.by_call(Changed).items():
        tokens: set[int] = set()
        for change in changes:
            if change.status == "running" and change.token not in tokens:
                tokens.add(change.token)
                found.setdefault(call_id, []).append(change)
    return found


def _finding(kind: str, call_id: str, text: str) -> Finding:
    return Finding(kind=kind, call_id=call_id, text=text)
