import inspect
import tomllib
from pathlib import Path

import pytest

from api import VERSION
from api.middlewares import STATUS_BY_SLUG, api_error_of, error_response, new_api_error
from common import errors
from common.errors import FatalError, MillraceError, UnavailableError

CLASSES = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, MillraceError) and "slug" in vars(one) and one is not MillraceError
]


def status_of(slug: str) -> int:
    (one,) = [one for one in CLASSES if one.slug == slug]
    return api_error_of(one()).status


@pytest.mark.parametrize(
    ("status", "slugs"),
    [
        (400, "invalid_json app_name_missing app_name_too_long app_name_invalid app_missing route_missing"),
        (
            400,
            "store_empty_app_name store_empty_route_path store_empty_app store_empty_route store_empty_key",
        ),
        (400, "store_empty_call_id invalid_payload route_dynamic_url route_path_invalid route_type_invalid"),
        (
            400,
            "route_format_invalid route_app_name_missing route_image_missing route_name_missing path_malformed",
        ),
        (
            400,
            "route_path_missing route_type_missing to_time_invalid from_time_invalid route_timeout_invalid",
        ),
        (400, "host_malformed"),
        (400, "route_idle_timeout_invalid route_memory_invalid invoke_not_supported api_not_supported"),
        (404, "app_not_found route_not_found call_not_found call_log_not_found path_not_found"),
        (409, "app_already_exists app_name_immutable app_has_routes call_changed route_already_exists"),
        (409, "route_path_immutable rebuild_under_way"),
        (503, "server_busy queue_full store_unavailable queue_unavailable queue_lost"),
        (504, "call_timeout"),
        (401, "unauthorized"),
        (403, "foreign_host foreign_origin foreign_client forbidden"),
        (404, "token_not_found"),
        (409, "first_token_not_admin last_admin_token too_many_tokens"),
        (429, "rate_limited"),
        (406, "not_acceptable"),
        (413, "body_too_large"),
        (415, "body_not_text"),
        (422, "idempotency_key_reused"),
    ],
)
def test_every_error_has_the_status_of_fn(status: int, slugs: str) -> None:
    assert {slug: status_of(slug) for slug in slugs.split()} == dict.fromkeys(slugs.split(), status)


def test_the_map_names_no_slug_that_does_not_exist() -> None:
    assert set(STATUS_BY_SLUG) <= {one.slug for one in CLASSES}


@pytest.mark.parametrize("one", [one for one in CLASSES if issubclass(one, FatalError)])
def test_what_concerns_only_the_process_is_an_internal_error_and_says_nothing(
    one: type[MillraceError],
) -> None:
    answer = api_error_of(one("details", field="secret"))
    assert (answer.status, answer.message, answer.field) == (500, "internal server error", "")


def test_asking_later_is_suggested_where_it_may_help() -> None:
    for one in CLASSES:
        response = error_response(api_error_of(one()))
        assert ("Retry-After" in response.headers) == (response.status in {429, 503})
        assert not issubclass(one, UnavailableError) or response.status in {429, 503, 504}


def test_a_limited_client_is_told_when_to_come_again_in_whole_seconds() -> None:
    for retry_after_s, told in ((0.01, "1"), (1.0, "1"), (2.1, "3")):
        response = error_response(api_error_of(errors.RateLimitedError(retry_after_s)))
        assert (response.status, response.headers["Retry-After"]) == (429, told)


def test_whoever_has_no_token_is_told_what_kind_it_is() -> None:
    assert error_response(api_error_of(errors.UnauthorizedError())).headers["WWW-Authenticate"] == "Bearer"


def test_an_error_of_ours_keeps_slug_and_field() -> None:
    error = new_api_error(418, errors.RoutesMissingPathError(field="route.path"))
    assert (error.status, error.message) == (418, "Missing route Path")
    assert (error.code, error.field) == ("route_path_missing", "route.path")


def test_the_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
