from api.log_lines import with_timestamps

SECOND_MS = 1_000


def test_each_line_carries_the_time_of_the_part_in_which_it_begins() -> None:
    log = b"one\ntwo\nthr" + b"ee\n\xff four"
    timed = with_timestamps(log, ((0, SECOND_MS), (8, 2 * SECOND_MS), (11, 3 * SECOND_MS)))
    assert timed.split(b"\n") == [
        b"1970-01-01T00:00:01.000Z one",
        b"1970-01-01T00:00:01.000Z two",
        b"1970-01-01T00:00:02.000Z three",
        b"1970-01-01T00:00:03.000Z \xff four",
    ]


def test_a_log_without_known_times_stays_as_it_is() -> None:
    assert with_timestamps(b"one\ntwo", ()) == b"one\ntwo"
    assert with_timestamps(b"", ((0, 1),)) == b""
