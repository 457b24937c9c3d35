"""Pages of other origins: nothing by default, what the settings say else; a token is needed all the same."""

import asyncio

import pytest
from msgspec.structs import replace

from common.settings import Settings
from tests.integration.api.served import Answer, ServedApi
from tests.integration.api.stand_in import StandIn

PAGE = "https://page.example"


def preflight(origin: str = PAGE, method: str = "PUT", headers: str = "authorization") -> dict[str, str]:
    return {
        "Origin": origin,
        "Sec-Fetch-Site": "cross-site",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


def cors_headers(answer: Answer) -> set[str]:
    return {name for name in answer.headers if name.startswith("Access-Control-")}


@pytest.fixture
def named(settings: Settings) -> Settings:
    return replace(settings, cors_origins=f"http://localhost:3000, {PAGE}")


async def test_without_the_setting_no_page_is_answered(api: ServedApi) -> None:
    await api.create_token()
    for path, status in (("/v1/apps", 405), ("/r/app/x", 401)):
        answer = await api.ask("OPTIONS", path, headers=preflight())
        assert (answer.status, cors_headers(answer)) == (status, set())
    answer = await api.get("/version", headers={"Origin": PAGE})
    assert cors_headers(answer) == set()
    assert "Vary" not in answer.headers


async def test_a_preflight_is_answered_without_a_token(named: Settings) -> None:
    async with ServedApi(named) as api:
        await api.create_token()
        for path in ("/v1/apps", "/v1/apps/app/routes/x", "/r/app/x", "/r/app", "/v1/nothing"):
            wanted = preflight(headers="authorization, Millrace-Priority, millrace-delay,X-Other")
            answer = await api.ask("OPTIONS", path, headers=wanted)
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Vary"] == "Origin"
            methods = answer.headers["Access-Control-Allow-Methods"].split(", ")
            assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(methods)
            assert answer.headers["Access-Control-Allow-Headers"].split(", ") == [
                *("Authorization", "Content-Type", "Idempotency-Key"),
                *("Millrace-Priority", "millrace-delay"),
            ]
            assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_another_page_is_refused(named: Settings) -> None:
    async with ServedApi(named) as api:
        await api.create_token()
        for origin in ("https://evil.example", "null", PAGE + ".evil.example", "http://page.example"):
            answer = await api.ask("OPTIONS", "/v1/apps", headers=preflight(origin))
            assert (answer.status, answer.json["error"]["code"]) == (403, "foreign_origin")
            assert cors_headers(answer) == set()
            answer = await api.get("/version", headers={"Origin": origin})
            assert (answer.status, cors_headers(answer), answer.headers["Vary"]) == (200, set(), "Origin")


async def test_a_page_may_read_every_answer_also_a_refusal(named: Settings) -> None:
    async with ServedApi(named) as api:
        path = await api.create_route()
        secret = await api.create_token()
        bearer = {"Authorization": f"Bearer {secret}"}
        asked = [
            ("GET", "/v1/apps", bearer, 200),
            ("GET", "/v1/apps", {}, 401),
            ("GET", "/nowhere", {}, 404),
            ("POST", path, bearer, 202),
        ]
        for method, url, headers, status in asked:
            answer = await api.ask(method, url, headers={"Origin": PAGE, **headers})
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            shown = answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"Fn_call_id", "Location", "Retry-After", "Server-Timing"} <= set(shown)


async def test_headers_of_ours_are_named_where_they_are(named: Settings) -> None:
    async with ServedApi(named) as api:
        path = await api.create_route()
        call_id = await api.submit(path)
        await api.finish(call_id, b"out")
        answer = await api.get(f"/v1/apps/app/calls/{call_id}/result", headers={"Origin": PAGE})
        assert answer.headers["Millrace-Status"] == "200"
        assert "Millrace-Status" in answer.headers["Access-Control-Expose-Headers"].split(", ")


async def test_a_star_is_every_page_but_only_with_tokens(settings: Settings) -> None:
    async with ServedApi(replace(settings, cors_origins="*")) as api:
        page = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
        assert (await api.get("/v1/apps", headers=page)).json["error"]["code"] == "foreign_origin"
        api.secret = await api.create_token()
        answer = await api.get("/v1/apps", headers=page)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
        answer = await api.ask("OPTIONS", "/v1/apps", headers=preflight("https://any.example"))
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")


async def test_without_tokens_a_named_page_of_this_machine_is_let_in(named: Settings) -> None:
    async with ServedApi(named) as api:
        page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
        assert (await api.get("/v1/apps", headers=page)).status == 200
        other = {"Origin": "http://localhost:3001", "Sec-Fetch-Site": "same-site"}
        assert (await api.get("/v1/apps", headers=other)).status == 403
        assert (await api.get("/v1/apps", headers=page | {"Host": "evil.example"})).status == 403


async def test_other_options_are_the_functions_and_its_own_words_on_cors_are_replaced(
    named: Settings,
) -> None:
    async with ServedApi(named) as api:
        path = await api.create_route(type="sync", format="http")
        worker = StandIn(api.queue)
        headers = {"Access-Control-Allow-Origin": ["*"], "Allow": ["GET"], "Vary": ["Accept"]}
        page = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
        asked = asyncio.create_task(api.ask("OPTIONS", path, headers=page))
        taken = await worker.answer_next(response_status=200, response_headers=headers)
        assert taken.call.method == "OPTIONS"
        answer = await asked
        assert (answer.status, answer.headers["Allow"]) == (200, "GET")
        assert answer.headers.getall("Access-Control-Allow-Origin") == [PAGE]
        assert sorted(answer.headers.getall("Vary")) == ["Accept", "Origin"]
