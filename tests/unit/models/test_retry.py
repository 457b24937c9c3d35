import pytest

from common.errors import RoutesInvalidRetryError
from common.models import RetryPolicy, Route


def test_without_a_policy_nothing_is_retried() -> None:
    assert RetryPolicy().delay_ms("bad_exit", 1, 0.5) is None


def test_waits_double_up_to_the_most_and_are_spread() -> None:
    policy = RetryPolicy(max_attempts=20, backoff=2, backoff_max=10)
    assert [policy.delay_ms("timeout", attempt, 0.999999) for attempt in (1, 2, 3, 4, 19)] == [
        2000,
        4000,
        8000,
        10000,
        10000,
    ]
    assert policy.delay_ms("timeout", 1, 0.0) == 1000
    assert policy.delay_ms("timeout", 20, 0.0) is None


def test_only_the_named_reasons_are_retried() -> None:
    policy = RetryPolicy(max_attempts=3, on=("bad_exit",))
    assert policy.delay_ms("bad_exit", 1, 0.0)
    assert policy.delay_ms("timeout", 1, 0.0) is None
    assert policy.delay_ms(None, 1, 0.0) is None


@pytest.mark.parametrize(
    ("field", "policy"),
    [
        ("max_attempts", RetryPolicy(max_attempts=0)),
        ("max_attempts", RetryPolicy(max_attempts=21)),
        ("backoff", RetryPolicy(max_attempts=2, backoff=0)),
        ("backoff_max", RetryPolicy(max_attempts=2, backoff_max=100_000)),
        ("on", RetryPolicy(max_attempts=2, on=("success",))),
    ],
)
def test_a_policy_out_of_range_names_its_field(field: str, policy: RetryPolicy) -> None:
    with pytest.raises(RoutesInvalidRetryError) as caught:
        policy.validate()
    assert caught.value.field == f"route.retry.{field}"


def test_a_change_without_a_policy_keeps_it() -> None:
    policy = RetryPolicy(max_attempts=3)
    route = Route(retry=policy, max_age=60)
    assert route.merge(Route()) == route
    assert route.merge(Route(max_age=0, retry=RetryPolicy())) == Route(max_age=0, retry=RetryPolicy())
