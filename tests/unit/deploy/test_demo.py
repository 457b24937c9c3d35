from datetime import UTC, datetime, timedelta

import pytest

from deploy.cli.answers import Record
from deploy.cli.demo import DemoError, Run, _verify
from deploy.cli.service import reachable_host

START = datetime(2026, 1, 1, tzinfo=UTC)


def run_of(call_id: str, priority: int, started_s: float, delay: int = 0) -> Run:
    started_at = START + timedelta(seconds=started_s)
    record = Record(call_id, "success", START, priority=priority, delay=delay)
    return Run(record, started_at, started_at + timedelta(seconds=1), "", "")


def test_the_order_of_priority_passes_with_the_delayed_call_anywhere_after_its_delay() -> None:
    _verify(
        ["a", "b", "c", "d"], [run_of("b", 2, 1), run_of("a", 1, 2), run_of("d", 2, 5, 4), run_of("c", 1, 6)]
    )


def test_a_lower_priority_that_started_first_is_told() -> None:
    with pytest.raises(DemoError, match=r"would be b \(priority 2\), a \(priority 0\)"):
        _verify(["a", "b"], [run_of("a", 0, 1), run_of("b", 2, 2)])


def test_within_a_priority_the_order_of_submission_counts() -> None:
    with pytest.raises(DemoError, match="order of their priority"):
        _verify(["a", "b"], [run_of("b", 1, 1), run_of("a", 1, 2)])


def test_a_call_that_started_before_its_delay_is_told() -> None:
    with pytest.raises(DemoError, match="call a started before its delay"):
        _verify(["a"], [run_of("a", 0, 3, delay=4)])


@pytest.mark.parametrize(
    ("host", "in_a_url"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("box", "box")],
)
def test_a_url_names_a_host_that_can_be_reached(host: str, in_a_url: str) -> None:
    assert reachable_host(host) == in_a_url
