import pytest

from common.models import request_id_from, request_id_of, with_request_id

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"X-Request-Id": "abc-1"}, "abc-1"),
        ({"X-Request-Id": "abc-1", "traceparent": TRACEPARENT}, "abc-1"),
        ({"traceparent": TRACEPARENT}, TRACE_ID),
        ({"X-Request-Id": "a b", "traceparent": TRACEPARENT}, TRACE_ID),
    ],
)
def test_a_sound_id_of_the_client_is_kept(headers: dict[str, str], request_id: str) -> None:
    assert request_id_from(headers) == request_id


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Request-Id": ""},
        {"X-Request-Id": "x" * 65},
        {"X-Request-Id": "a\x1b[2J"},
        {"traceparent": "not one"},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
    ],
)
def test_without_one_it_is_made(headers: dict[str, str]) -> None:
    made = request_id_from(headers)
    assert len(made) == 32
    assert made != request_id_from(headers)


def test_it_travels_among_the_headers_in_place_of_any_other() -> None:
    headers = with_request_id({"x-request-id": ["a b"], "A": ["1"]}, "r-1")
    assert headers == {"A": ["1"], "X-Request-Id": ["r-1"]}
    assert request_id_of(headers) == "r-1"
    assert request_id_of({"x-request-id": ["old"]}) == "old"
    assert request_id_of({}) == ""
