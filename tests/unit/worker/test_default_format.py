"""The environment of a call: what is in it, how headers are spelt, and that a client can forge nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.models import Call, new_id
from worker.formats.default import HEADERS_MAX, HEADERS_MAX_BYTES, DefaultFormat, header_variables


def environment(payload: bytes = b"", **fields: Any) -> dict[str, str]:
    defaults: dict[str, Any] = {"id": new_id(), "app_name": "a", "path": "/p", "timeout": 30, "attempt": 1}
    return DefaultFormat().environment(Call(**defaults | fields), payload)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("content-type", "FN_HEADER_Content_Type"),
        ("MYREALHEADER", "FN_HEADER_Myrealheader"),
        ("x-REQUEST-id", "FN_HEADER_X_Request_Id"),
        ("my_header", "FN_HEADER_My_header"),
        ("traceparent", "FN_HEADER_Traceparent"),
    ],
)
def test_headers_are_spelt_as_fn_spells_them(name: str, variable: str) -> None:
    assert header_variables({name: ["v"]}) == {variable: "v"}


def test_values_of_one_header_are_joined_whatever_its_case() -> None:
    """Fn's U-30."""
    assert header_variables({"X-A": ["1", "2"], "x-a": ["3"]}) == {"FN_HEADER_X_A": "1, 2, 3"}


def test_a_name_with_an_underscore_can_not_take_the_place_of_one_with_a_dash() -> None:
    forward = header_variables({"X_User": ["forged"], "X-User": ["real"]})
    backward = header_variables({"X-User": ["real"], "X_User": ["forged"]})
    assert forward == backward == {"FN_HEADER_X_User": "real"}


def test_host_and_names_that_fn_reserves_are_not_passed() -> None:
    """Fn's U-30."""
    names = ("Host", "FN_CALL_ID", "fn_path", "Fn_Type", "fn_memory", "FN_FORMAT", "fn_app_name", "FN_METHOD")
    assert header_variables({name: ["forged"] for name in names}) == {}


def test_a_client_can_not_override_config_or_the_calls_own() -> None:
    found = environment(
        headers={
            "Region": ["forged"],
            "Content-Length": ["1"],
            "FN_HEADER_X": ["forged"],
            "PATH": ["forged"],
        },
        base_env={"FN_HEADER_Region": "configured", "KEY": "value", "FN_TYPE": "async"},
        payload=b"four",
    )
    assert found["FN_HEADER_Region"] == "configured"
    assert found["FN_HEADER_Content_Length"] == "4"
    assert found["FN_TYPE"] == "async"
    assert "PATH" not in found
    assert "FN_HEADER_X" not in found


def test_content_length_is_always_there() -> None:
    assert environment(b"")["FN_HEADER_Content_Length"] == "0"


def test_many_or_large_headers_are_cut_off() -> None:
    assert len(header_variables({f"h{number}": ["v"] for number in range(500)})) == HEADERS_MAX
    large = header_variables({f"h{number}": ["v" * 10_000] for number in range(20)})
    assert sum(len(name) + len(value) for name, value in large.items()) < HEADERS_MAX_BYTES
    assert large


def test_a_value_that_no_process_can_get_is_left_out() -> None:
    assert header_variables({"a": ["x\0y"], "b": ["z"]}) == {"FN_HEADER_B": "z"}


def test_deadline_is_the_timeout_from_now_in_the_apis_format() -> None:
    deadline = environment(timeout=30)["FN_DEADLINE"]
    assert len(deadline) == len("2018-01-10T12:34:56.789Z")
    assert deadline.endswith("Z")
    left = datetime.fromisoformat(deadline) - datetime.now(UTC)
    assert timedelta(seconds=29) < left < timedelta(seconds=30)


def test_the_root_route_has_no_route_parameter() -> None:
    assert "FN_PARAM_route" not in environment(path="/")
    assert environment(path="/a/b")["FN_PARAM_route"] == "/a/b"
