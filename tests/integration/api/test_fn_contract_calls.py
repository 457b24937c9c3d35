"""Fn v1's contract of calls: by id, in lists, by path and time. Each test names the cases of Fn's that it is.

Which test is which case stands in tests/architecture/test_fn_cases.py. That an unfinished call is shown, and that a
timeout is an error, is not Fn's.
"""

from datetime import UTC, datetime, timedelta

from common.models import Call, new_id
from tests.integration.api.served import ServedApi

CALLS = "/v1/apps/app/calls"
SHOWN = {"id", "status", "app_name", "path", "created_at", "started_at", "completed_at"}


async def test_a_finished_call_has_all_that_fn_shows_of_it(api: ServedApi) -> None:
    """A-20: and an error only if it has failed."""
    path = await api.create_route()
    for well, status, error in ((True, "success", None), (False, "error", "container exit code 3")):
        call_id = await api.submit(path)
        await api.finish(call_id, well=well)
        answer = await api.get(f"{CALLS}/{call_id}")
        call = answer.json["call"]
        assert answer.json["message"] == "Successfully loaded call"
        assert set(call) >= SHOWN
        assert (call["id"], call["app_name"], call["path"]) == (call_id, "app", "/hello")
        assert (call["status"], call.get("error")) == (status, error)
        assert "stats" not in call


async def test_what_is_no_call_of_the_app_is_not_found(api: ServedApi) -> None:
    """A-17, A-18, U-12: another id, a part of one, another app's, no app."""
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
            ("/result", "Call not found"),
        ):
            answer = await api.get(path + suffix)
            assert (answer.status, answer.headline) == (404, message)
    for path in ("/v1/apps//calls", f"/v1/apps//calls/{call_id}"):
        answer = await api.get(path)
        assert (answer.status, answer.headline) == (400, "Missing app name")
    missing = await api.get("/v1/apps/none/calls?path=/hello")
    assert (missing.status, missing.message) == (404, "App not found")


async def test_calls_are_listed_newest_first_in_pages(api: ServedApi) -> None:
    """U-13: in pages whose cursors are ids as they are."""
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
    """U-13: the bounds are no part of the window; times that are none are refused."""
    await api.create_route(path="/a")
    start = datetime.now(UTC).replace(second=0, microsecond=0)
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
            assert (answer.status, answer.headline) == (400, f"{name} is not an epoch time")
