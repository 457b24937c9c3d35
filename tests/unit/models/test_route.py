from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from common import errors
from common.models import App, Route, RouteRevision, RouteWrapper, clean_path, normalize_path
from common.models.route import validate_headers

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
ROUTE = Route(app_name="a", path="/hello", image="fnproject/hello").set_defaults(NOW)


def test_defaults_replace_zero_values() -> None:
    assert (ROUTE.memory, ROUTE.timeout, ROUTE.idle_timeout) == (128, 30, 30)
    assert (ROUTE.type, ROUTE.format, ROUTE.writable_root) == ("sync", "default", False)
    assert ROUTE.created_at == ROUTE.updated_at == NOW
    ROUTE.validate()


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"app_name": ""}, errors.RoutesMissingAppNameError, "route.app_name"),
        ({"path": ""}, errors.RoutesMissingPathError, "route.path"),
        ({"path": "/%zz"}, errors.PathMalformedError, "route.path"),
        ({"path": "/%ff"}, errors.PathMalformedError, "route.path"),
        ({"path": ":x"}, errors.PathMalformedError, "route.path"),
        ({"path": "/a\0b"}, errors.PathMalformedError, "route.path"),
        ({"path": "/a%00"}, errors.PathMalformedError, "route.path"),
        ({"path": "/users/:id"}, errors.FoundDynamicURLError, "route.path"),
        ({"path": "/users/%3Aid"}, errors.FoundDynamicURLError, "route.path"),
        ({"path": "fnproject/hello"}, errors.RoutesInvalidPathError, "route.path"),
        ({"path": "/foo?x=1"}, errors.RoutesInvalidPathError, "route.path"),
        ({"path": "/foo%3Fx"}, errors.RoutesInvalidPathError, "route.path"),
        ({"path": "/" + "x" * 256}, errors.RoutesInvalidPathError, "route.path"),
        ({"image": ""}, errors.RoutesMissingImageError, "route.image"),
        ({"image": "UPPER/case"}, errors.RoutesInvalidImageError, "route.image"),
        ({"image": "a b"}, errors.RoutesInvalidImageError, "route.image"),
        ({"image": "../../etc"}, errors.RoutesInvalidImageError, "route.image"),
        ({"type": "quick"}, errors.RoutesInvalidTypeError, "route.type"),
        ({"format": "xml"}, errors.RoutesInvalidFormatError, "route.format"),
        ({"timeout": 121}, errors.RoutesInvalidTimeoutError, "route.timeout"),
        ({"timeout": -1}, errors.RoutesInvalidTimeoutError, "route.timeout"),
        ({"type": "async", "timeout": 3601}, errors.RoutesInvalidTimeoutError, "route.timeout"),
        ({"idle_timeout": 3601}, errors.RoutesInvalidIdleTimeoutError, "route.idle_timeout"),
        ({"memory": 8193}, errors.RoutesInvalidMemoryError, "route.memory"),
        ({"headers": {"a b": ["1"]}}, errors.InvalidHeadersError, "route.headers.'a b'"),
        ({"headers": {"A": ["1\r\nX: 2"]}}, errors.InvalidHeadersError, "route.headers.'A'"),
        ({"config": {"": "1"}}, errors.InvalidConfigError, "route.config.''"),
    ],
)
def test_each_rule_has_its_error_and_names_its_field(
    change: dict[str, object], error: type[errors.MillraceError], field: str
) -> None:
    with pytest.raises(error) as caught:
        replace(ROUTE, **change).validate()
    assert caught.value.field == field


def test_limits_are_inclusive() -> None:
    replace(ROUTE, timeout=120, idle_timeout=3600, memory=8192).validate()
    replace(ROUTE, type="async", timeout=3600).validate()


def test_a_wrapper_without_a_route_says_so() -> None:
    with pytest.raises(errors.RoutesMissingNewError):
        RouteWrapper().validate()


@pytest.mark.parametrize(
    ("given_path", "stored"),
    [
        ("/", "/"),
        ("//foo", "/foo"),
        ("/foo/", "/foo"),
        ("/a/../b", "/b"),
        ("/../x", "/x"),
        ("/a%20b", "/a b"),
    ],
)
def test_paths_are_stored_as_they_are_looked_up(given_path: str, stored: str) -> None:
    assert normalize_path(given_path) == stored


@given(st.text(max_size=40))
def test_what_is_stored_is_valid_and_stays_as_it_is(path: str) -> None:
    try:
        stored = normalize_path("/" + path)
    except errors.InvalidError:
        return
    assert normalize_path(stored) == stored == clean_path(stored)


def test_merging_keeps_identity_and_replaces_what_is_not_zero() -> None:
    old = replace(
        ROUTE, config={"a": "1", "b": "1"}, headers={"X-Foo": ["1"], "Y": ["1"]}, writable_root=True
    )
    change = Route(
        path="/other", app_name="other", timeout=7, config={"a": "", "c": "3"}, headers={"x-foo": []}
    )
    merged = old.merge(change)
    assert (merged.app_name, merged.path, merged.created_at) == ("a", "/hello", NOW)
    assert (merged.timeout, merged.memory, merged.writable_root) == (7, 128, True)
    assert merged.config == {"b": "1", "c": "3"}
    assert merged.headers == {"Y": ["1"]}
    assert old.merge(Route(writable_root=False)).writable_root is False


def test_a_revision_is_named_by_its_content() -> None:
    app = App(name="a", config={"log-level": "x", "FN_PATH": "forged"})
    revision = RouteRevision.of(app, ROUTE)
    assert revision.base_env == {
        "log_level": "x",
        "FN_FORMAT": "default",
        "FN_APP_NAME": "a",
        "FN_PATH": "/hello",
        "FN_MEMORY": "128",
        "FN_TYPE": "sync",
    }
    assert len(revision.id) == 32
    assert RouteRevision.of(app, replace(ROUTE, updated_at=None)).id == revision.id
    assert RouteRevision.of(app, replace(ROUTE, memory=64)).id != revision.id
    assert RouteRevision.of(App(name="a"), ROUTE).id != revision.id


def test_route_config_overrides_app_config() -> None:
    app, route = App(name="a", config={"k": "app"}), replace(ROUTE, config={"k": "route"})
    assert RouteRevision.of(app, route).base_env["k"] == "route"


def test_headers_that_are_too_large_together_are_refused() -> None:
    validate_headers({"X-A": ["x" * 1021] * 64})
    with pytest.raises(errors.InvalidHeadersError) as caught:
        validate_headers({"X-A": ["x" * 1021] * 64, "X": [""]})
    assert caught.value.field == "route.headers"


def test_the_configs_of_app_and_route_are_limited_together() -> None:
    half = {f"K{number}": "x" * 60_000 for number in range(5)}
    other = {f"L{number}": "x" * 60_000 for number in range(5)}
    RouteRevision.of(App(name="a", config=half), Route(app_name="a", path="/p", config=half))
    with pytest.raises(errors.InvalidConfigError) as caught:
        RouteRevision.of(App(name="a", config=half), Route(app_name="a", path="/p", config=other))
    assert caught.value.field == "route.config"
