from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.sandbox import BEYOND_THE_ANSWER, OWN_PAGE, POLICY, SANDBOX, OwnPage, leads_into_api, seal


def sealed(headers: list[tuple[str, str]], **options: Any) -> web.Response:
    response = web.Response()
    for name, value in headers:
        response.headers.add(name, value)
    seal(response, **{"is_own_origin": False, **options})
    return response


def test_a_policy_of_the_function_is_added_to_never_replaced() -> None:
    for own in ("sandbox allow-same-origin", "default-src *", "", "sandbox, sandbox allow-same-origin"):
        assert sealed([("content-security-policy", own)]).headers.getall(POLICY) == [own, SANDBOX]
    assert "allow-same-origin" not in SANDBOX
    assert "allow-top-navigation" not in SANDBOX


def test_what_acts_beyond_the_answer_is_dropped_however_it_is_spelt() -> None:
    given = [(name.upper(), "x") for name in (*BEYOND_THE_ANSWER, "set-cookie")]
    assert set(sealed(given).headers) == {POLICY, "X-Content-Type-Options"}
    for kept in ("Permissions-Policy", "Cache-Control", "Link", "Content-Disposition", "X-Frame-Options"):
        assert kept in sealed([(kept, "x")]).headers


def test_sniffing_is_off_whatever_a_function_says() -> None:
    response = sealed([("x-content-type-options", "sniff"), ("X-Content-Type-Options", "sniff")])
    assert response.headers.getall("X-Content-Type-Options") == ["nosniff"]


def test_an_origin_of_their_own_lets_functions_have_pages_and_cookies_and_nothing_more() -> None:
    given = [("Set-Cookie", "a=b"), ("Service-Worker-Allowed", "/"), ("Strict-Transport-Security", "x")]
    assert set(sealed(given, is_own_origin=True).headers) == {"Set-Cookie", "X-Content-Type-Options"}


def test_the_apis_own_pages_have_their_own_policy() -> None:
    page = OwnPage(b"")
    seal(page, is_own_origin=False)
    assert page.headers.getall(POLICY) == [OWN_PAGE]


@pytest.mark.parametrize(
    ("location", "leads_in"),
    [
        ("/v1/queue/pause", True),
        ("/r/app/../../v1/tokens", True),
        ("/r/%2e%2E/v1/tokens", True),
        ("../../../v1/tokens", True),
        ("http://localhost:8080/v1/tokens", True),
        ("http://LOCALHOST.:8080/v1/tokens", True),
        ("http://127.0.0.1:8080/v1/tokens", True),
        ("https://[::1]:8080/v1/tokens", True),
        ("//localhost:8080/v1", True),
        ("http://user@localhost:8080/v1", True),
        ("http:/v1/tokens", True),
        ("///v1/tokens", True),
        ("/\\localhost:8080/v1/tokens", True),
        ("\\v1\\tokens", True),
        ("/\t/v1", True),
        (" /v1/tokens", True),
        ("http://local%68ost:8080/v1", True),
        ("http://[/v1", True),
        ("/docs", True),
        ("/", True),
        ("/r/app/other", False),
        ("other", False),
        ("?page=2", False),
        ("#end", False),
        ("", False),
        ("http://localhost:8080/r/app/x", False),
        ("http://localhost:8081/v1", False),
        ("https://example.org/v1/tokens", False),
        ("//example.org/v1", False),
        ("mailto:a@example.org", False),
    ],
)
def test_redirects_into_the_api_are_told_from_others(location: str, leads_in: bool) -> None:
    request = make_mocked_request("POST", "/r/app/deep/er?x=/", headers={"Host": "localhost:8080"})
    assert leads_into_api(request, location) is leads_in


def test_a_port_that_is_the_schemes_own_is_none() -> None:
    request = make_mocked_request("POST", "/r/app", headers={"Host": "api.example"})
    for location in ("https://api.example/v1", "https://api.example:443/v1", "http://api.example:80/v1"):
        assert leads_into_api(request, location)
    assert not leads_into_api(request, "https://other.example/v1")
