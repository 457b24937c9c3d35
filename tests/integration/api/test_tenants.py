"""What one of many who use a system may ask of what all share: anonymous callers, and tokens of an app."""

import asyncio

from msgspec.structs import replace

from common.settings import Settings
from tests.integration.api.served import ServedApi
from tests.integration.api.stand_in import StandIn

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
