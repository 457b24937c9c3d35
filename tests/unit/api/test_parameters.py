from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import make_mocked_request

from api.parameters import id_cursor_of, key_cursor, key_cursor_of, per_page_of, time_of
from common.errors import InvalidFromTimeError
from common.models import new_id


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
