"""Fn v1's contract of apps: paths, messages, codes, merging, pages. Each test names the cases of Fn's that it is.

Which test is which case stands in tests/architecture/test_fn_cases.py.
"""

import base64
from typing import Any

from tests.integration.api.served import ServedApi

INVALID_JSON = "Invalid JSON"
MISSING = "Missing new application"
JSON = "application/json; charset=utf-8"

REFUSED = [
    (b"", 400, INVALID_JSON),
    (b"{}", 400, MISSING),
    (b"null", 400, MISSING),
    (b'{"name":"Test"}', 400, MISSING),
    (b'{"app":null}', 400, MISSING),
    (b'{"app":{"name":""}}', 400, "Missing app name"),
    (b'{"app":{"name":"' + b"a" * 31 + b'"}}', 400, "App name must be 30 characters or less"),
    (b'{"app":{"name":"&&%@!#$#@$"}}', 400, "Invalid app name"),
    ('{"app":{"name":"äpp"}}'.encode(), 400, "Invalid app name"),
    (b'{"app":{"name":"taken"}}', 409, "App already exists"),
]
REFUSED_CHANGES = [
    ("app", b"", 400, INVALID_JSON),
    ("app", b"{}", 400, MISSING),
    ("app", b'{"app":{"name":"other"}}', 409, "Could not update - name is immutable"),
    ("none", b'{"app":{"config":{"A":"1"}}}', 404, "App not found"),
]


async def create(api: ServedApi, name: str, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v1/apps", {"app": {"name": name, **fields}})
    assert answer.status == 200, answer.body
    app: dict[str, Any] = answer.json["app"]
    return app


async def test_a_created_app_is_shown_with_equal_times_in_milliseconds(api: ServedApi) -> None:
    """A-03, A-04, U-01: created with and without config, and read."""
    answer = await api.post("/v1/apps", {"app": {"name": "teste", "config": {"A": "1", "B": ""}}})
    app = answer.json["app"]
    assert answer.json == {"message": "App successfully created", "app": app}
    assert (app["name"], app["config"]) == ("teste", {"A": "1", "B": ""})
    assert app["created_at"] == app["updated_at"]
    assert len(app["created_at"]) == len("2018-01-10T12:34:56.789Z")
    assert app["created_at"].endswith("Z")
    assert answer.headers["Content-Type"] == JSON
    assert answer.body.endswith(b"\n")
    assert (await api.get("/v1/apps/teste")).json == {"message": "Successfully loaded app", "app": app}
    assert "config" not in await create(api, "bare")


async def test_a_refused_app_is_answered_as_fn_does(api: ServedApi) -> None:
    """A-06, U-01: bodies that are none, names that are none, a name that is taken."""
    await create(api, "taken")
    answers = [await api.ask("POST", "/v1/apps", data=body) for body, _, _ in REFUSED]
    found = [
        (body, answer.status, answer.headline) for (body, _, _), answer in zip(REFUSED, answers, strict=True)
    ]
    assert found == REFUSED
    assert {answer.headers["Content-Type"] for answer in answers} == {JSON}
    assert await api.rows("apps") == 1


async def test_names_of_thirty_bytes_and_of_any_case_are_legal(api: ServedApi) -> None:
    """A-03: Fn's own tests use names of exactly thirty."""
    for name in ("a" * 30, "Abc-DEF_9", "Z"):
        assert (await create(api, name))["name"] == name


async def test_keys_match_in_any_case_and_unknown_ones_are_ignored(api: ServedApi) -> None:
    body = b'{"APP":{"Name":"x","colour":1,"created_at":"1"},"y":[]}'
    answer = await api.ask("POST", "/v1/apps", data=body, headers={"Content-Type": "text/plain"})
    assert answer.status == 200
    assert answer.json["app"]["name"] == "x"


async def test_a_change_merges_config_and_moves_only_the_time_of_the_update(api: ServedApi) -> None:
    """A-05, U-05: values overwritten, added, deleted by an empty string; and the same again."""
    created = await create(api, "app", config={"A": "1", "B": "2"})
    change: dict[str, Any] = {"app": {"config": {"A": "", "B": "3", "C": "4"}}}
    answer = await api.ask("PATCH", "/v1/apps/app", json=change)
    changed = answer.json["app"]
    assert answer.json == {"message": "App successfully updated", "app": changed}
    assert changed["config"] == {"B": "3", "C": "4"}
    assert changed["created_at"] == created["created_at"]
    assert changed["updated_at"] != created["updated_at"]
    empty: list[dict[str, Any]] = [{"app": {"config": None}}, {"app": {}}]
    for same in (change, *empty):
        assert (await api.ask("PATCH", "/v1/apps/app", json=same)).json["app"] == changed


async def test_a_refused_change_is_answered_as_fn_does(api: ServedApi) -> None:
    """U-05: bodies that are none, another name, no such app."""
    await create(api, "app")
    for name, body, status, message in REFUSED_CHANGES:
        answer = await api.ask("PATCH", f"/v1/apps/{name}", data=body)
        assert (answer.status, answer.headline) == (status, message)


async def test_a_deleted_app_is_gone_with_its_routes(api: ServedApi) -> None:
    """A-01, A-02, A-03, U-02, U-04: deleted; then, as for an app that never was, not found."""
    await api.create_route("app")
    answer = await api.ask("DELETE", "/v1/apps/app")
    assert (answer.status, answer.json) == (200, {"message": "App deleted"})
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/routes"), ("GET", "/calls")):
        missing = await api.ask(method, f"/v1/apps/app{path}")
        assert (missing.status, missing.message) == (404, "App not found")
    assert (await api.ask("POST", "/r/app/hello")).headline == "App not found"


async def test_apps_are_listed_in_pages_by_name_in_byte_order(api: ServedApi) -> None:
    """U-03: three apps at once, one by one, from the second on, and after the last."""
    assert (await api.get("/v1/apps")).json == {
        "message": "Successfully listed applications",
        "next_cursor": "",
        "apps": [],
    }
    for name in ("test", "Test", "Abcdefg"):
        await create(api, name)
    names = ["Abcdefg", "Test", "test"]

    async def page(query: str) -> tuple[list[str], str]:
        answer = (await api.get(f"/v1/apps?{query}")).json
        return [app["name"] for app in answer["apps"]], answer["next_cursor"]

    assert await page("per_page=") == (names, "")
    cursor, seen = "", []
    for _ in names:
        found, cursor = await page(f"per_page=1&cursor={cursor}")
        assert base64.urlsafe_b64decode(cursor + "==").decode() == found[0]
        seen += found
    assert seen == names
    assert await page(f"per_page=1&cursor={cursor}") == ([], "")
    after_second = base64.urlsafe_b64encode(b"Test").decode().rstrip("=")
    assert await page(f"per_page=100&cursor={after_second}") == (["test"], "")


async def test_a_bad_page_size_or_cursor_is_no_error(api: ServedApi) -> None:
    await create(api, "app")
    for query in (
        "per_page=0",
        "per_page=-1",
        "per_page=x",
        "per_page=999",
        "cursor=!",
        "cursor=A",
        "cursor=AA",
    ):
        answer = await api.get(f"/v1/apps?{query}")
        assert (answer.status, len(answer.json["apps"])) == (200, 1), query


async def test_a_page_has_at_most_a_hundred_items_and_thirty_by_default(api: ServedApi) -> None:
    for number in range(101):
        await create(api, f"app{number:03}")
    assert len((await api.get("/v1/apps?per_page=1000")).json["apps"]) == 100
    assert len((await api.get("/v1/apps")).json["apps"]) == 30
