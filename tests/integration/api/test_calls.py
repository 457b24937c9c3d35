"""Calls over HTTP: shown from the first moment, listed newest first, with log and result once they are final."""

from datetime import UTC, datetime, timedelta

from common.models import Call, new_id
from tests.integration.api.served import ServedApi

CALLS = "/v1/apps/app/calls"
SECRETS = ("secret-payload", "secret-header", "secret-config")


async def test_a_call_is_shown_from_the_first_moment_without_its_input(api: ServedApi) -> None:
    path = await api.create_route(config={"KEY": "secret-config"})
    call_id = await api.submit(path, b"secret-payload", X_Key="secret-header")
    answer = await api.get(f"{CALLS}/{call_id}")
    call = answer.json["call"]
    assert answer.json == {"message": "Successfully loaded call", "call": call}
    assert call == {
        "id": call_id,
        "status": "queued",
        "app_name": "app",
        "path": "/hello",
        "type": "async",
        "priority": 0,
        "attempt": 0,
        "created_at": call["created_at"],
    }
    shown = answer.body + (await api.get(CALLS)).body
    assert not [secret for secret in SECRETS if secret.encode() in shown]


async def test_a_delayed_call_shows_its_delay_and_when_it_is_due(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route(), Millrace_Delay="60", Millrace_Priority="2")
    call = (await api.get(f"{CALLS}/{call_id}")).json["call"]
    assert (call["status"], call["delay"], call["priority"]) == ("delayed", 60, 2)
    due_in = datetime.fromisoformat(call["due_at"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < due_in <= timedelta(seconds=60)


async def test_a_failed_call_says_why(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    await api.finish(call_id, well=False)
    call = (await api.get(f"{CALLS}/{call_id}")).json["call"]
    assert (call["status"], call["reason"], call["detail"]) == ("error", "bad_exit", "exit_code")
    assert (call["exit_code"], call["error"], call["attempt"]) == (3, "container exit code 3", 1)
    assert call["created_at"] <= call["claimed_at"] <= call["completed_at"]


async def test_what_is_no_call_of_the_app_is_not_found(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    await api.create_route("other")
    for path in (
        f"{CALLS}/{new_id()}",
        f"{CALLS}/{call_id[:-4]}",
        f"{CALLS}/dummy",
        f"/v1/apps/other/calls/{call_id}",
    ):
        for suffix, message in (
            ("", "Call not found"),
            ("/log", "Call log not found"),
            ("/result", "Call result not found"),
        ):
            answer = await api.get(path + suffix)
            assert (answer.status, answer.message) == (404, message)
    for path in ("/v1/apps//calls", f"/v1/apps//calls/{call_id}"):
        answer = await api.get(path)
        assert (answer.status, answer.message) == (400, "Missing app name")
    missing = await api.get("/v1/apps/none/calls?path=/hello")
    assert (missing.status, missing.message) == (404, "App not found")


async def test_calls_are_listed_newest_first_in_pages(api: ServedApi) -> None:
    path = await api.create_route()
    newest_first = [await api.submit(path) for _ in range(3)][::-1]

    async def page(query: str) -> tuple[list[str], str]:
        answer = (await api.get(f"{CALLS}?{query}")).json
        return [call["id"] for call in answer["calls"]], answer["next_cursor"]

    assert (await api.get(CALLS)).json["message"] == "Successfully listed calls"
    assert await page("") == (newest_first, "")
    assert await page("per_page=2") == (newest_first[:2], newest_first[1])
    assert await page(f"per_page=2&cursor={newest_first[1]}") == (newest_first[2:], "")
    assert await page(f"per_page=1&cursor={newest_first[2]}") == ([], "")
    assert await page("cursor=nonsense") == (newest_first, "")


async def test_calls_are_filtered_by_path_and_time(api: ServedApi) -> None:
    await api.create_route(path="/a")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    calls = [
        Call(
            id=new_id(), app_name="app", path=path, type="async", created_at=start + timedelta(minutes=minute)
        )
        for minute, path in enumerate(("/a", "/b", "/a"))
    ]
    await api.store.insert_calls(calls)
    first, middle, last = (str(call.id) for call in calls)
    first_s = int(start.timestamp())

    async def found(query: str) -> list[str]:
        return [call["id"] for call in (await api.get(f"{CALLS}?{query}")).json["calls"]]

    assert await found(f"from_time={first_s}&to_time={first_s + 120}") == [middle]
    assert await found("path=/a") == [last, first]
    assert await found("path=/none") == []
    assert await found(f"from_time={-(2**63)}&to_time={2**63 - 1}") == [last, middle, first]
    assert await found(f"from_time={2**63 - 1}") == []
    for name in ("from_time", "to_time"):
        for bad in ("xx", "1.5", "1_0", "2026-01-01T00:00:00Z", str(2**63)):
            answer = await api.get(f"{CALLS}?{name}={bad}")
            assert (answer.status, answer.message) == (400, f"{name} is not an epoch time")


async def test_log_and_result_are_not_found_until_the_call_is_final(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    for state in ("queued", "running"):
        assert (await api.get(f"{CALLS}/{call_id}")).json["call"]["status"] == state
        for suffix, message in (("log", "Call log not found"), ("result", "Call result not found")):
            answer = await api.get(f"{CALLS}/{call_id}/{suffix}")
            assert (answer.status, answer.message) == (404, message)
        await api.claim()


async def test_a_log_comes_in_the_form_that_is_accepted(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    await api.finish(call_id, log=b"one\xff\n")
    log_url = f"{CALLS}/{call_id}/log"
    as_json = {
        "message": "Successfully loaded log",
        "log": {"call_id": call_id, "log": "one\ufffd\n", "app_name": "app"},
    }
    for accept in ("application/json", "application/json, text/plain", "*/*", "text/html, */*;q=0.1"):
        assert (await api.get(log_url, headers={"Accept": accept})).json == as_json
    assert (await api.get(log_url, skip_auto_headers=["Accept"])).json == as_json
    plain = await api.get(log_url, headers={"Accept": "text/plain"})
    assert (plain.body, plain.headers["Content-Type"]) == (b"one\xff\n", "text/plain; charset=utf-8")
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    refused = await api.get(log_url, headers={"Accept": "text/html"})
    assert refused.status == 406
    assert refused.message == "unable to respond within acceptable response content types"


async def test_a_call_that_ended_without_a_log_has_an_empty_one(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    (claimed,) = await api.claim()
    await api.store.settle_dead([claimed.call.id])
    assert (await api.get(f"{CALLS}/{call_id}/log")).json["log"]["log"] == ""
    assert (await api.get(f"{CALLS}/{call_id}/result")).status == 404


async def test_a_result_comes_byte_for_byte(api: ServedApi) -> None:
    path = await api.create_route()
    for content, content_type in (
        (bytes(range(256)), "application/octet-stream"),
        ("<b>é</b>".encode(), "text/plain; charset=utf-8"),
        (b"", "text/plain; charset=utf-8"),
    ):
        call_id = await api.submit(path)
        await api.finish(call_id, result=content)
        answer = await api.get(f"{CALLS}/{call_id}/result")
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_result_has_the_headers_and_the_status_of_its_function(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route(format="json"))
    headers = {"X-Many": ["1", "2"], "Content-Length": ["3"], "Set-Cookie": ["a"], "Connection": ["close"]}
    await api.finish(call_id, result=b"[]", response_status=418, response_headers=headers, cold=True)
    answer = await api.get(f"{CALLS}/{call_id}/result")
    assert (answer.status, answer.headers["Millrace-Status"], answer.body) == (200, "418", b"[]")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers.getall("X-Many") == ["1", "2"]
    assert not {"Set-Cookie", "Connection"} & set(answer.headers)
    assert (await api.get(f"{CALLS}/{call_id}")).json["call"]["cold"] is True
    call_id = await api.submit(await api.create_route(path="/typed", format="json"))
    await api.finish(call_id, result=b"<p>", response_headers={"content-type": ["text/html"]})
    answer = await api.get(f"{CALLS}/{call_id}/result")
    assert (answer.headers.getall("Content-Type"), answer.headers["Millrace-Status"]) == (
        ["text/html"],
        "200",
    )
