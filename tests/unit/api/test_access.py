"""What the URL table says of who may ask, and how a token is read from a request."""

import pytest
from aiohttp.test_utils import make_mocked_request

from api.access import _SHOW_ONLY_OWN, _secret_of, may
from api.clients import client_address
from api.handlers import apps, health
from api.urls import URLS, Access, Endpoint
from common.models import Scope, Token, new_id

# Whoever opens another endpoint to everybody says so here.
OPEN = {"GET /", "GET /version", "GET /healthz", "GET /readyz", "GET /openapi.json", "GET /docs"} | {
    "GET /docs/docs.css",
    "GET /docs/docs.js",
}


def test_nothing_is_open_but_what_says_nothing_of_anybody() -> None:
    assert {f"{one.method} {one.path}" for one in URLS if one.access is Access.OPEN} <= OPEN


def test_what_tokens_of_an_app_may_do_is_inside_an_app_or_shows_only_that() -> None:
    of_no_app = {
        one.handler
        for one in URLS
        if one.access in (Access.APP, Access.INVOKE) and not one.path.startswith(("/v1/apps/{app", "/r/{app"))
    }
    assert of_no_app == _SHOW_ONLY_OWN


def test_tokens_to_invoke_reach_functions_and_single_calls_alone() -> None:
    for one in URLS:
        if one.access is Access.INVOKE and not one.path.startswith("/r/"):
            _, _, rest = one.path.partition("/calls")
            assert rest.startswith("/{call") or one.method == "POST", one.path


def test_apps_are_made_and_deleted_by_admins_alone() -> None:
    access = {(one.method, one.handler): one.access for one in URLS}
    assert access["POST", apps.create_app] is access["DELETE", apps.delete_app] is Access.ADMIN


def endpoint(access: Access) -> Endpoint:
    return Endpoint(method="GET", path="/x", handler=health.hello, access=access, summary="")


def token(scope: Scope) -> Token:
    return Token(
        id=new_id(), name="x", scope=scope, app_name=None if scope is Scope.ADMIN else "own", hash=b""
    )


@pytest.mark.parametrize(
    ("scope", "access", "is_allowed"),
    [
        (Scope.ADMIN, Access.ADMIN, True),
        (Scope.ADMIN, Access.APP, True),
        (Scope.ADMIN, Access.INVOKE, True),
        (Scope.APP, Access.ADMIN, False),
        (Scope.APP, Access.APP, True),
        (Scope.APP, Access.INVOKE, True),
        (Scope.INVOKE, Access.ADMIN, False),
        (Scope.INVOKE, Access.APP, False),
        (Scope.INVOKE, Access.INVOKE, True),
    ],
)
def test_each_scope_reaches_so_far(scope: Scope, access: Access, is_allowed: bool) -> None:
    assert may(token(scope), endpoint(access), "own") is is_allowed
    for foreign in ("other", "", "OWN", "own/", None):
        assert may(token(scope), endpoint(access), foreign) is (scope is Scope.ADMIN)


@pytest.mark.parametrize("given", ["Bearer mr_a-Z_9", "bearer mr_a-Z_9", "BEARER   mr_a-Z_9"])
def test_a_bearer_is_read(given: str) -> None:
    request = make_mocked_request("GET", "/", headers={"Authorization": given})
    assert _secret_of(request) == "mr_a-Z_9"


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "mr_x", "Basic mr_x", "Bearer mr_x y", "Bearer mr_é", "Bearer\u00a0mr_x"],
)
def test_nothing_else_is(given: str) -> None:
    assert _secret_of(make_mocked_request("GET", "/", headers={"Authorization": given})) is None
    assert _secret_of(make_mocked_request("GET", "/")) is None


def test_of_two_bearers_none_is_read() -> None:
    from multidict import CIMultiDict

    headers = CIMultiDict([("Authorization", "Bearer mr_x"), ("Authorization", "Bearer mr_x")])
    assert _secret_of(make_mocked_request("GET", "/", headers=headers)) is None


def test_a_network_of_ipv6_is_one_client() -> None:
    assert client_address("2001:db8:1:2::5") == client_address("2001:db8:1:2:ffff::1")
    assert client_address("2001:db8:1:2::5") != client_address("2001:db8:1:3::5")
    assert client_address("::ffff:10.0.0.1") == client_address("10.0.0.1") == "10.0.0.1"
    assert client_address("") == ""
