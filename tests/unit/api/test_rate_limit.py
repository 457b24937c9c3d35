import pytest

from api import rate_limit
from api.rate_limit import RateLimit


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_is_let_through_and_then_the_rate(clock: Clock) -> None:
    limit = RateLimit(2, 3, clock)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now_s += 0.25
    assert limit.take("a") == pytest.approx(0.25)
    clock.now_s += 0.25
    assert limit.take("a") == 0
    assert limit.take("a") == pytest.approx(0.5)


def test_what_is_told_is_enough_to_be_let_through(clock: Clock) -> None:
    limit = RateLimit(0.3, 1, clock)
    for _ in range(20):
        while wait_s := limit.take("a"):
            clock.now_s += wait_s * 1.000001
    clock.now_s -= 100
    assert limit.take("a") > 0


def test_a_rest_refills_no_more_than_the_burst(clock: Clock) -> None:
    limit = RateLimit(1, 2, clock)
    for _ in range(2):
        clock.now_s += 1000
        assert [bool(limit.take("a")) for _ in range(3)] == [False, False, True]


def test_over_time_nobody_gets_more_than_the_rate(clock: Clock) -> None:
    limit = RateLimit(10, 5, clock)
    let_through = 0
    for _ in range(1000):
        clock.now_s += 0.01
        let_through += not limit.take("a")
    assert 100 <= let_through <= 105


def test_clients_do_not_feel_one_another(clock: Clock) -> None:
    limit = RateLimit(1, 1, clock)
    assert [bool(limit.take(client)) for client in "abab"] == [False, False, True, True]


def test_a_rate_of_0_is_no_limit_and_remembers_nobody(clock: Clock) -> None:
    limit = RateLimit(0, 1, clock)
    assert not any(limit.take(str(number)) for number in range(1000))
    assert not limit._buckets


def test_only_those_that_asked_last_are_remembered(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 3)
    limit = RateLimit(1, 1, clock)
    for client in "abcad":
        limit.take(client)
        assert len(limit._buckets) <= 3
    assert set(limit._buckets) == {"c", "a", "d"}
    assert limit.take("a") > 0
    assert limit.take("b") == 0
