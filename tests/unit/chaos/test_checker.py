"""The history checker, on histories made by hand: each wrong in one way, and one that is not."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from tests.chaos.checker import (
    FAULT,
    GIVEN_BACK,
    KILL,
    check,
    inversions,
    quantile,
    redeliveries,
    restarts_s,
)
from tests.chaos.history import (
    Accepted,
    Answered,
    Began,
    Changed,
    Ended,
    Event,
    Fault,
    History,
    Killed,
    Row,
    Seen,
)

ACCEPTED = Accepted(at=1, call_id="a", client=0, order=0, tries=1, took_s=0.01)
STORED = Changed(at=0.9, call_id="a", old_status="", status="queued", attempt=0, token=0, incarnation="")
CLAIMED = Changed(
    at=2, call_id="a", old_status="queued", status="running", attempt=1, token=10, incarnation="w1"
)
BEGAN = Began(at=2.1, call_id="a", attempt=1, container="c1", incarnation="w1", path="/hot")
ENDED = Ended(at=2.2, call_id="a", attempt=1, container="c1")
SETTLED = replace(CLAIMED, at=2.3, old_status="running", status="success")
SEEN = Seen(at=3, call_id="a", outcome="success 1")
ROW = Row(
    call_id="a",
    type="async",
    status="success",
    detail="",
    attempt=1,
    priority=0,
    order_no=1,
    incarnation="w1",
    started_at=2.1,
    completed_at=2.2,
    result="a 1",
)
GOOD = (ACCEPTED, STORED, CLAIMED, BEGAN, ENDED, SETTLED, SEEN)

# The same call, lost with its worker, and run again by another one.
KILLED = Killed(at=2.15, victim="child", unit="worker-0", incarnation="w1")
CLAIMED_AGAIN = replace(CLAIMED, at=2.5, old_status="running", attempt=2, token=20, incarnation="w2")
BEGAN_AGAIN = replace(BEGAN, at=2.75, attempt=2, container="c2", incarnation="w2")
ENDED_AGAIN = replace(ENDED, at=2.8, attempt=2, container="c2")
SETTLED_AGAIN = replace(CLAIMED_AGAIN, at=2.9, old_status="running", status="success")
ROW_AGAIN = replace(ROW, attempt=2, incarnation="w2", result="a 2")
AGAIN = (ACCEPTED, STORED, CLAIMED, BEGAN, CLAIMED_AGAIN, BEGAN_AGAIN, ENDED_AGAIN, SETTLED_AGAIN, SEEN)


def kinds(events: Iterable[Event], *rows: Row) -> list[str]:
    return [finding.kind for finding in check(History(events, rows))]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert kinds(GOOD, ROW) == []
    assert kinds([*AGAIN, KILLED], ROW_AGAIN) == []


@pytest.mark.parametrize(
    ("events", "rows", "found"),
    [
        (GOOD, [], ["lost"]),
        (GOOD, [replace(ROW, status="error", detail="too_many_attempts")], ["lost"]),
        (GOOD, [replace(ROW, status="running", result="")], ["stuck"]),
        (GOOD, [replace(ROW, status="error", detail="start_failed")], ["failed"]),
        (GOOD, [replace(ROW, status="cancelled")], ["failed"]),
        (GOOD[1:], [ROW], ["unasked"]),
        ([*GOOD, replace(SEEN, at=4, outcome="success 2")], [ROW], ["duplicated result"]),
        ([*GOOD, replace(SETTLED, at=4, old_status="success")], [ROW], ["duplicated result"]),
        ([*GOOD, replace(SETTLED, at=4, old_status="error", status="queued")], [ROW], ["duplicated result"]),
        (GOOD, [replace(ROW, result="a 2")], ["wrong result"]),
        (GOOD, [replace(ROW, result="b 1")], ["wrong result"]),
        ([*GOOD, replace(BEGAN, at=2.15)], [ROW], ["duplicated start"]),
        (AGAIN, [ROW_AGAIN], ["unexplained redelivery"]),
    ],
)
def test_what_is_wrong_is_found(events: list[Event], rows: list[Row], found: list[str]) -> None:
    assert kinds(events, *rows) == found


def test_calls_that_nobody_was_told_of_must_have_an_end_too() -> None:
    stranger = replace(ROW, call_id="b", status="queued", result="")
    assert kinds(GOOD, ROW, stranger) == ["unasked", "stuck"]


def test_two_runs_of_a_call_at_a_time_are_found_unless_a_fault_was_on() -> None:
    overlapping: list[Event] = [*AGAIN, KILLED, replace(ENDED, at=2.78)]
    assert kinds(overlapping, ROW_AGAIN) == ["overlapping starts"]
    assert kinds([*overlapping, Fault(at=2.6, until=3, name="clock")], ROW_AGAIN) == []
    assert kinds([*AGAIN, KILLED, replace(ENDED, at=2.7)], ROW_AGAIN) == []  # it ended in time


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (KILLED, KILL),
        (replace(KILLED, victim="orphan"), KILL),
        (replace(KILLED, at=2.6), ""),  # after the call was another's
        (replace(KILLED, incarnation="w3"), ""),
        (replace(KILLED, victim="api", incarnation=""), ""),
        (Fault(at=2.2, until=2.4, name="flushall"), FAULT),
        (Fault(at=3, until=4, name="flushall"), ""),
        (replace(CLAIMED, at=2.4, old_status="running", status="queued"), GIVEN_BACK),
    ],
)
def test_a_redelivery_is_explained_by_what_came_between(reason: Event, cause: str) -> None:
    (one,) = redeliveries(History([*AGAIN, reason], [ROW_AGAIN]))
    assert (one.call_id, one.attempt, one.cause) == ("a", 2, cause)


def test_a_child_that_lost_its_supervisor_gives_back_what_it_has_just_taken() -> None:
    given_back = replace(CLAIMED, at=2.4, old_status="running", status="queued")
    orphaned = replace(KILLED, victim="supervisor")
    (one,) = redeliveries(History([*AGAIN, given_back, orphaned], [ROW_AGAIN]))
    assert one.cause == KILL
    (one,) = redeliveries(History([*AGAIN, orphaned], [ROW_AGAIN]))
    assert one.cause == ""


def test_a_sync_call_may_begin_once_at_most() -> None:
    answered = Answered(at=3, call_id="s", status=502)
    begun = replace(BEGAN, call_id="s", path="/sync")
    assert kinds([answered, begun]) == []
    assert kinds([answered, begun, replace(begun, at=5)]) == ["duplicated start"]
    record = replace(ROW, call_id="s", type="sync", status="error", detail="worker_lost")
    assert kinds([begun, replace(begun, at=5)], record) == ["duplicated start"]


def test_the_time_to_the_new_start_counts_from_the_kill_of_the_child_that_had_the_call() -> None:
    assert restarts_s(History([*AGAIN, KILLED])) == [pytest.approx(0.6)]
    assert restarts_s(History([*AGAIN, replace(KILLED, at=2.05)])) == []  # it had not begun
    assert restarts_s(History([*AGAIN, replace(KILLED, victim="orphan")])) == []
    assert restarts_s(History(AGAIN)) == []


def test_order_is_compared_within_a_priority() -> None:
    def row(order_no: int, priority: int, started_at: float | None) -> Row:
        return replace(
            ROW, call_id=str(order_no), order_no=order_no, priority=priority, started_at=started_at
        )

    assert inversions([row(1, 0, 5), row(2, 1, 1), row(3, 0, 6), row(4, 1, 2)]) == []
    assert [one.call_id for one in inversions([row(3, 0, 6), row(1, 0, 5), row(2, 0, 7)])] == ["3"]
    assert [one.call_id for one in inversions([row(1, 0, 5), row(2, 0, None)])] == ["2"]


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([1, 2, 3], 0.5) == 2
    assert quantile([1, 2, 3], 0.95) == 3
