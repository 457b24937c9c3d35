import time
from datetime import UTC, datetime, timedelta

import pytest

from common.models import AFTER_ALL_IDS, ID_SLACK_S, id_bounds, new_id

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLACK = timedelta(seconds=ID_SLACK_S)
MS = timedelta(milliseconds=1)


def test_without_times_all_ids_are_within() -> None:
    first, end = id_bounds(None, None)
    assert (first.int, end) == (0, AFTER_ALL_IDS)
    assert first < new_id() < end


def test_an_id_of_now_is_within_until_the_slack_is_used_up() -> None:
    id_ms = new_id().int >> 80
    assert abs(id_ms / 1000 - time.time()) < 60
    made_at = EPOCH + id_ms * MS
    for from_time in (made_at - SLACK, made_at, made_at + SLACK):
        assert id_bounds(from_time, None)[0].int >> 80 <= id_ms
    assert id_bounds(made_at + SLACK + 2 * MS, None)[0].int >> 80 > id_ms
    for to_time in (made_at - SLACK + 2 * MS, made_at, made_at + SLACK):
        assert id_bounds(None, to_time)[1].int >> 80 > id_ms
    assert id_bounds(None, made_at - SLACK)[1].int >> 80 <= id_ms


@pytest.mark.parametrize("early", [FIRST, EPOCH - SLACK, EPOCH - MS])
def test_before_1970_there_are_no_ids(early: datetime) -> None:
    first, end = id_bounds(early, early)
    assert first.int == 0
    assert end.int >> 80 <= ID_SLACK_S * 1000


def test_the_far_future_has_bounds_too() -> None:
    first, end = id_bounds(LAST, LAST)
    assert new_id() < first < end < AFTER_ALL_IDS
    assert id_bounds(FIRST, LAST)[0] < new_id() < id_bounds(FIRST, LAST)[1]


def test_bounds_do_not_depend_on_the_zone() -> None:
    there = datetime.fromisoformat("2026-01-01T05:30:00+05:30")
    assert id_bounds(there, there) == id_bounds(there.astimezone(UTC), there.astimezone(UTC))
