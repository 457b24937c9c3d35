from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import make_mocked_request

from api.parameters import (
    id_cursor_of,
    key_cursor,
    key_cursor_of,
    per_page_of,
    statuses_of,
    time_of,
    wait_s_of,
)
from common.errors import InvalidFromTimeError, InvalidStatusError, InvalidWaitError
from common.models import CallStatus, new_id


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 30),
        ("0", 30),
        ("-5", 30),
        ("x", 30),
        ("1.5", 30),
        ("1", 1),
        ("%2B7", 7),
        ("100", 100),
        ("101", 100),
        (str(2**63), 30),
    ],
)
def test_a_page_size_is_read_leniently(text: str, number: int) -> None:
    assert per_page_of(make_mocked_request("GET", f"/?per_page={text}")) == number


@pytest.mark.parametrize("key", ["/a", "/ab", "/abc", "/abcd", "/ü/~?>", "x"])
def test_a_cursor_comes_back_as_it_was_given(key: str) -> None:
    cursor = key_cursor(key, 2, 2)
    assert "=" not in cursor
    assert key_cursor_of(make_mocked_request("GET", f"/?cursor={cursor}")) == key


def test_a_page_that_is_not_full_has_no_cursor() -> None:
    assert key_cursor("a", 1, 2) == ""


@pytest.mark.parametrize("text", ["!", "A", "_w", "%00", "YWJj!!!"])
def test_of_a_bad_cursor_what_can_be_read_is_taken(text: str) -> None:
    assert key_cursor_of(make_mocked_request("GET", f"/?cursor={text}")) in {"", "abc"}


def test_a_cursor_of_calls_is_an_id() -> None:
    call_id = new_id()
    assert id_cursor_of(make_mocked_request("GET", f"/?cursor={call_id}")) == call_id
    assert id_cursor_of(make_mocked_request("GET", "/?cursor=x")) is None


def test_times_are_unix_seconds_of_any_size() -> None:
    def read(text: str) -> datetime | None:
        return time_of(make_mocked_request("GET", f"/?from_time={text}"), "from_time", InvalidFromTimeError)

    assert read("") is None
    assert read("0") == datetime(1970, 1, 1, tzinfo=UTC)
    assert read("-86400") == datetime(1969, 12, 31, tzinfo=UTC)
    far, long_ago = read(str(2**63 - 1)), read(str(-(2**63)))
    assert far is not None
    assert long_ago is not None
    assert (far.year, long_ago.year) == (9999, 1)
    for text in ("x", "1.5", str(2**63), "1" * 30, "1e3", "\u0661"):
        with pytest.raises(InvalidFromTimeError):
            read(text)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [("0", 0), ("60", 60), ("60.000", 60), ("1.5", 1.5), (".25", 0.25), ("3.", 3), ("05", 5)],
)
def test_a_wait_is_a_plain_number_of_seconds(text: str, wait_s: float) -> None:
    assert wait_s_of(make_mocked_request("GET", f"/?wait={text}")) == wait_s


def test_without_a_wait_there_is_none() -> None:
    assert wait_s_of(make_mocked_request("GET", "/")) == 0


@pytest.mark.parametrize(
    "text", ["", "-0", "60.1", "99", "100", "nan", "1e0", ".", "1.1.1", "0.0000000000001"]
)
def test_another_wait_is_refused(text: str) -> None:
    with pytest.raises(InvalidWaitError) as refused:
        wait_s_of(make_mocked_request("GET", f"/?wait={text}"))
    assert refused.value.field == "wait"


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        ("", ()),
        ("error", (CallStatus.ERROR,)),
        ("running,queued,running", (CallStatus.RUNNING, CallStatus.QUEUED)),
    ],
)
def test_statuses_are_a_list_with_commas(text: str, statuses: tuple[CallStatus, ...]) -> None:
    assert statuses_of(make_mocked_request("GET", f"/?status={text}")) == statuses


def test_an_unknown_status_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidStatusError, match="delayed, queued, running, success, error or cancelled"):
        statuses_of(make_mocked_request("GET", "/?status=queued,done"))
