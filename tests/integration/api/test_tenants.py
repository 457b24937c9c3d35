"""What one of many who use a system may ask of what all share: anonymous callers, and tokens of an app."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from api import quotas
from api.keys import TOKENS
from common.models import Scope, Token, hash_secret, new_id, new_secret, parse_id
from common.settings import Settings
from tests.integration.api.served import ROUTE, ServedApi
from tests.integration.api.stand_in import StandIn
from tests.polling import eventually

WISHES = {
    "Millrace-Priority": "2",
    "Millrace-Delay": "3600",
    "Idempotency-Key": "once",
    "Prefer": "respond-async",
}
IGNORED = "Millrace-Priority, Millrace-Delay, Idempotency-Key, Prefer: respond-async"


async def test_who_calls_a_public_route_without_a_token_has_no_say_in_the_queue(api: ServedApi) -> None:
    stored = await api.create_route(public=True)
    sync = await api.create_route(path="/sync", type="sync", public=True)
    admin = await api.create_token()
    answers = [await api.ask("POST", stored, headers=WISHES) for _ in range(2)]
    for answer in answers:
        assert answer.status == 202
        assert answer.headers["Millrace-Ignored"] == IGNORED
    assert len({answer.json["call_id"] for answer in answers}) == 2
    asking = asyncio.create_task(api.ask("POST", sync, headers=WISHES))
    await StandIn(api.queue).answer_next(result=b"ran", response_headers={"Millrace-Ignored": ["nothing"]})
    answer = await asking
    assert (answer.status, answer.body) == (200, b"ran")
    assert answer.headers.getall("Millrace-Ignored") == [IGNORED]
    api.secret = admin
    await api.post("/v1/apps", {"app": {"name": "other"}})
    api.secret = await api.create_token("app", "other")
    assert (await api.ask("POST", stored, headers=WISHES)).headers["Millrace-Ignored"] == IGNORED
    api.secret = ""
    plain = await api.ask("POST", stored)
    assert "Millrace-Ignored" not in plain.headers
    for claimed in await api.claim():
        assert (claimed.call.priority, claimed.call.delay) == (0, 0)
    api.secret = admin
    answer = await api.ask("POST", stored, headers=WISHES)
    assert "Millrace-Ignored" not in answer.headers
    call = (await api.get(f"/v1/apps/app/calls/{answer.json['call_id']}")).json["call"]
    assert (call["priority"], call["delay"], call["status"]) == (2, 3600, "delayed")


async def test_the_largest_priority_is_a_tokens_by_its_scope(settings: Settings) -> None:
    async with ServedApi(replace(settings, app_max_priority=1, invoke_max_priority=0)) as api:
        path = await api.create_route()
        admin = api.secret = await api.create_token()
        secrets = {"admin": admin}
        for scope in ("app", "invoke"):
            secrets[scope] = await api.create_token(scope, "app")
        for scope, largest in (("admin", 2), ("app", 1), ("invoke", 0)):
            api.secret = secrets[scope]
            for priority in range(3):
                one = await api.ask("POST", path, headers={"Millrace-Priority": str(priority)})
                many = await api.post(
                    "/v1/apps/app/calls", {"calls": [{"path": "/hello", "priority": priority}]}
                )
                (result,) = many.json["results"]
                wanted = 202 if priority <= largest else 403
                assert (one.status, result["status"]) == (wanted, wanted), (scope, priority)
                if wanted == 403:
                    for error, field in (
                        (one.json["error"], "Millrace-Priority"),
                        (result["error"], "priority"),
                    ):
                        assert (error["code"], error["fields"]) == ("priority_not_allowed", field)
                        assert (
                            f"may give 0 to {largest} (MILLRACE_{scope.upper()}_MAX_PRIORITY)"
                            in error["message"]
                        )
        # A retry has the priority of its call.
        api.secret = admin
        call_id = await api.submit(path, Millrace_Priority="1")
        await api.ask("DELETE", f"/v1/apps/app/calls/{call_id}")
        for scope, status in (("invoke", 403), ("app", 202)):
            api.secret = secrets[scope]
            answer = await api.ask("POST", f"/v1/apps/app/calls/{call_id}/retry")
            assert answer.status == status


async def test_who_comes_without_a_token_has_a_rate_limit_of_its_own(settings: Settings) -> None:
    limited = replace(settings, anonymous_rate_limit_per_s=0.01, anonymous_rate_limit_burst=3)
    async with ServedApi(limited) as api:
        path = await api.create_route(public=True)
        assert [(await api.get("/v1/apps")).status for _ in range(5)] == [200] * 5
        secret = await api.create_token()
        answers = [await api.ask("POST", path) for _ in range(5)]
        assert [answer.status for answer in answers] == [202] * 3 + [429] * 2
        assert (answers[-1].json["error"]["code"], 90 <= int(answers[-1].headers["Retry-After"]) <= 100) == (
            "rate_limited",
            True,
        )
        api.secret = secret
        assert [(await api.ask("POST", path)).status for _ in range(5)] == [202] * 5
    assert Settings().anonymous_rate_limit_per_s > 0


async def error_of(api: ServedApi, path: str, **options: Any) -> tuple[int, str, str]:
    answer = await api.ask("POST", path, **options)
    if answer.status < 300:
        return answer.status, "", ""
    error = answer.json["error"]
    assert "Retry-After" in answer.headers or answer.status == 409
    return answer.status, error["code"], error["message"]


async def test_an_app_has_a_quota_of_calls_that_have_not_ended(settings: Settings) -> None:
    async with ServedApi(replace(settings, app_max_calls=5)) as api:
        path = await api.create_route()
        other = await api.create_route("other")
        for _ in range(3):
            await api.submit(path)
        many = await api.post("/v1/apps/app/calls", {"calls": [{"path": "/hello"}] * 4})
        results = many.json["results"]
        assert [result["status"] for result in results] == [202, 202, 429, 429]
        status, code, message = await error_of(api, path)
        assert (status, code) == (429, "app_calls_full")
        assert "has 5 calls that have not ended, and may have 5 (MILLRACE_APP_MAX_CALLS)" in message
        assert await error_of(api, "/v1/apps/app/calls", json={"path": "/hello"}) == (status, code, message)
        assert await api.submit(other)
        assert await api.rows() == 6
        ended = results[0]["call_id"]
        await api.ask("DELETE", f"/v1/apps/app/calls/{ended}")

        async def has_room() -> bool:
            return (await api.ask("POST", f"/v1/apps/app/calls/{ended}/retry")).status == 202

        await eventually(has_room)
        assert (await error_of(api, f"/v1/apps/app/calls/{ended}/retry"))[1] == "app_calls_full"
        key = {"Idempotency-Key": "again"}
        answers = [await api.ask("POST", other, headers=key) for _ in range(20)]
        assert {answer.status for answer in answers} == {202}, "what is not stored counts nothing"


async def test_an_app_has_a_quota_of_what_is_stored_of_its_calls(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ServedApi(replace(settings, app_max_stored_mb=1)) as api:
        path = await api.create_route()
        await api.submit(path, b"x" * 700_000)
        status, code, message = await error_of(api, path, data=b"x" * 400_000)
        assert (status, code) == (429, "app_storage_full")
        assert "1 MB may be (MILLRACE_APP_MAX_STORED_MB)" in message
        call_id = await api.submit(path)
        await api.finish_all()
        await api.store.get_database().execute("DELETE FROM calls WHERE id <> $1", parse_id(call_id))
        monkeypatch.setattr(quotas, "FULL_READ_AGE_S", 0)
        assert (await error_of(api, path, data=b"x" * 400_000))[0] == 202


async def test_what_other_processes_let_in_counts_from_the_next_reading_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "READ_AGE_S", 0.5)
    settings = replace(settings, app_max_calls=10)
    async with ServedApi(settings) as api, ServedApi(settings) as other:
        path = await api.create_route()
        await other.submit(path)
        for _ in range(8):
            await api.submit(path)
        await asyncio.sleep(0.6)

        async def fills() -> bool:
            return (await other.ask("POST", path)).status == 429

        await eventually(fills, interval_s=0.2)
        assert 10 <= await api.rows() <= 12


async def test_apps_and_routes_have_a_number(settings: Settings) -> None:
    async with ServedApi(replace(settings, apps_max=2, app_max_routes=3)) as api:
        routes = "/v1/apps/app/routes"
        asked = [api.post(routes, {"route": {**ROUTE, "path": f"/p{number}"}}) for number in range(6)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [200] * 3 + [409] * 3
        full = max(answers, key=lambda answer: answer.status)
        assert full.json["error"]["code"] == "too_many_routes"
        assert "has 3 routes, as many as it may have (MILLRACE_APP_MAX_ROUTES)" in full.message
        created = next(answer.json["route"]["path"] for answer in answers if answer.status == 200)
        assert (await api.change_route(created, "PUT", memory=64)).status == 200, "a change is no more"
        api.secret = await api.create_token()
        api.secret = await api.create_token("app", "app")
        assert (await error_of(api, routes, json={"route": {**ROUTE, "path": "/q"}}))[1] == "too_many_routes"
        assert (await api.change_route("/q", "PUT", **ROUTE)).status == 409
        assert (await api.ask("DELETE", routes + created)).status == 200
        assert (await api.post(routes, {"route": {**ROUTE, "path": "/q"}})).status == 200

    async with ServedApi(replace(settings, apps_max=2, queue_name="other", app_max_routes=9)) as api:
        api.secret = await new_admin(api)
        assert (await api.post("/v1/apps", {"app": {"name": "b"}})).status == 200
        for path, body in (
            ("/v1/apps", {"app": {"name": "c"}}),
            ("/v1/apps/c/routes", {"route": ROUTE}),
        ):
            status, code, message = await error_of(api, path, json=body)
            assert (status, code) == (409, "too_many_apps")
            assert "There are 2 apps, as many as there may be (MILLRACE_APPS_MAX)" in message
        assert (await api.post("/v1/apps", {"app": {"name": "b"}})).json["error"][
            "code"
        ] == "app_already_exists"
        assert (await api.post("/v1/apps/b/routes", {"route": ROUTE})).status == 200


async def new_admin(api: ServedApi) -> str:
    secret = new_secret()
    token = Token(id=new_id(), name="x", scope=Scope.ADMIN, hash=hash_secret(secret))
    await api.store.insert_token(token)
    await api.app[TOKENS].reread()
    return secret
