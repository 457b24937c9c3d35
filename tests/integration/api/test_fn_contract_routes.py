"""Fn v1's contract of routes: rules, messages, merging, pages. Each test names the cases of Fn's that it is.

Which test is which case stands in tests/architecture/test_fn_cases.py.
"""

import base64
from typing import Any

import pytest

from tests.integration.api.served import ServedApi

TIMEOUT = (
    "timeout value is out of range. Sync should be between 0 and 120, async should be between 0 and 3600"
)
IDLE = "idle_timeout value is out of range. It should be between 0 and 3600"
MEMORY = "memory value is out of range. It should be between 0 and 8192"
FRAMING = "Invalid route json_framing"
ENCODING = "Invalid route body_encoding"
PATH_CHANGED = "Could not update - path is immutable"

REFUSED: list[tuple[object, str]] = [
    ({}, "Missing new route"),
    ({"path": "/myroute"}, "Missing new route"),
    ({"route": None}, "Missing new route"),
    ({"route": {}}, "Missing route Path"),
    ({"route": {"image": "i"}}, "Missing route Path"),
    ({"route": {"path": "/myroute"}}, "Missing route Image"),
    ({"route": {"path": "myroute", "image": "i"}}, "Invalid route path format"),
    ({"route": {"path": "fnproject/hello", "image": "i"}}, "Invalid route path format"),
    ({"route": {"path": "/a?b=c", "image": "i"}}, "Invalid route path format"),
    ({"route": {"path": "/:name", "image": "i"}}, "Dynamic URL is not allowed"),
    ({"route": {"path": "/%3Aname", "image": "i"}}, "Dynamic URL is not allowed"),
    ({"route": {"path": "/%zz", "image": "i"}}, "Path malformed"),
    ({"route": {"path": "/a\0b", "image": "i"}}, "Path malformed"),
    ({"route": {"path": "/p", "image": "A B"}}, "Invalid route Image"),
    ({"route": {"path": "/p", "image": "i", "type": "x"}}, "Invalid route Type"),
    ({"route": {"path": "/p", "image": "i", "format": "x"}}, "Invalid route Format"),
    ({"route": {"path": "/p", "image": "i", "timeout": 121}}, TIMEOUT),
    ({"route": {"path": "/p", "image": "i", "timeout": -1}}, TIMEOUT),
    ({"route": {"path": "/p", "image": "i", "type": "async", "timeout": 3601}}, TIMEOUT),
    ({"route": {"path": "/p", "image": "i", "idle_timeout": 3601}}, IDLE),
    ({"route": {"path": "/p", "image": "i", "memory": 100_000_000_000_000}}, MEMORY),
    ({"route": {"path": "/p", "image": "i", "memory": 2**64 - 1}}, MEMORY),
    ({"route": {"path": "/p", "image": "i", "memory": 2**64}}, "Invalid JSON"),
    ({"route": {"path": "/p", "image": "i", "timeout": 2**31}}, "Invalid JSON"),
    ({"route": {"path": "/p", "image": "i", "timeout": "3"}}, "Invalid JSON"),
    ({"route": {"path": "/p", "image": "i", "headers": {"a b": ["c"]}}}, "Invalid route Headers"),
    ({"route": {"path": "/p", "image": "i", "headers": {"a": ["b\r\nc: d"]}}}, "Invalid route Headers"),
    ({"route": {"path": "/p", "image": "i", "json_framing": "x"}}, FRAMING),
    ({"route": {"path": "/p", "image": "i", "body_encoding": "x"}}, ENCODING),
]

# As PUT bodies for a route that is not there.
REFUSED_PUTS: list[tuple[str, object, int, str]] = [
    ("app", {}, 400, "Missing new route"),
    ("app", {"path": "/myroute"}, 400, "Missing new route"),
    ("app", {"route": {}}, 400, "Missing route Image"),
    ("app", {"route": {"image": "i", "path": "myroute"}}, 409, PATH_CHANGED),
    ("app", {"route": {"image": "i", "path": "/diffRoute"}}, 409, PATH_CHANGED),
    ("$", {"route": {"image": "i"}}, 400, "Invalid app name"),
    ("app", {"route": {"image": "i", "type": "invalid-type"}}, 400, "Invalid route Type"),
    ("app", {"route": {"image": "i", "format": "invalid-format"}}, 400, "Invalid route Format"),
]

REFUSED_CHANGES: list[tuple[dict[str, Any], int, str]] = [
    ({"path": "myroute"}, 409, PATH_CHANGED),
    ({"path": "/diffRoute"}, 409, PATH_CHANGED),
    ({"type": "invalid-type"}, 400, "Invalid route Type"),
    ({"format": "invalid-format"}, 400, "Invalid route Format"),
    ({"timeout": 121}, 400, TIMEOUT),
    ({"type": "async", "timeout": 3601}, 400, TIMEOUT),
    ({"idle_timeout": 3601}, 400, IDLE),
    ({"memory": 100_000_000_000_000}, 400, MEMORY),
    ({"json_framing": "Line"}, 400, FRAMING),
    ({"body_encoding": "hex"}, 400, ENCODING),
]


async def test_a_created_route_gets_its_app_and_defaults(api: ServedApi) -> None:
    """A-08, A-09, U-06: made with its app, shown with what it was not given, and read by its one segment."""
    body = {"route": {"path": "/myroute", "image": "fn/hello", "type": "", "timeout": 0, "memory": 0}}
    answer = await api.post("/v1/apps/new/routes", body)
    route = answer.json["route"]
    assert answer.json == {"message": "Route successfully created", "route": route}
    assert route == {
        "app_name": "new",
        "path": "/myroute",
        "image": "fn/hello",
        "memory": 128,
        "type": "sync",
        "format": "default",
        "timeout": 30,
        "idle_timeout": 30,
        "created_at": route["created_at"],
        "updated_at": route["created_at"],
    }
    app = (await api.get("/v1/apps/new")).json["app"]
    assert app["created_at"] == route["created_at"]
    loaded = await api.get("/v1/apps/new/routes/myroute")
    assert loaded.json == {"message": "Successfully loaded route", "route": route}


async def test_a_created_route_keeps_what_it_was_given(api: ServedApi) -> None:
    """A-08: and its app is the one of the URL, whatever the body says."""
    given = {
        "path": "/p",
        "image": "fn/hello:1",
        "memory": 256,
        "type": "async",
        "format": "json",
        "timeout": 3600,
        "idle_timeout": 3600,
        "headers": {"X-A": ["1", "2"]},
        "config": {"K": "v", "EMPTY": ""},
    }
    answer = await api.post("/v1/apps/app/routes", {"route": given | {"app_name": "other"}})
    assert answer.json["route"].items() >= (given | {"app_name": "app"}).items()


async def test_a_refused_route_leaves_neither_route_nor_app(api: ServedApi) -> None:
    """A-07, U-06: wrappers, paths, images, types, formats and ranges that are none. No app: unlike Fn."""
    answers = [await api.post("/v1/apps/new/routes", body) for body, _ in REFUSED]
    found = [(body, answer.headline) for (body, _), answer in zip(REFUSED, answers, strict=True)]
    assert found == REFUSED
    assert {answer.status for answer in answers} == {400}
    assert await api.rows("apps") == 0


async def test_empty_bodies_bad_apps_and_doubled_routes_are_refused(api: ServedApi) -> None:
    """A-12, U-06: and the order in which Fn looks at body, path and app."""
    route = {"route": {"path": "/myroute", "image": "i"}}
    assert (await api.ask("POST", "/v1/apps/a/routes")).headline == "Invalid JSON"
    assert (await api.post("/v1/apps/$/routes", {})).headline == "Missing new route"
    assert (await api.post("/v1/apps/$/routes", {"route": {}})).message == "Missing route Path"
    assert (await api.post("/v1/apps/$/routes", {"route": {"path": "x"}})).headline == "Invalid app name"
    assert (await api.post("/v1/apps//routes", route)).headline == "Missing app name"
    assert (await api.post("/v1/apps/a/routes", route)).status == 200
    again = await api.post("/v1/apps/a/routes", route)
    assert (again.status, again.message) == (409, "Route already exists")


async def test_put_creates_app_and_route_then_merges(api: ServedApi) -> None:
    """A-14, A-15, A-16, U-07: deployed to a new app, to one that is there, changed, and the same again."""
    headers = {"A": ["a"], "B": ["b"]}
    for path, named in (("/first", {"path": "/first"}), ("/second", {})):
        made = await api.change_route(path, "PUT", image="i:1", headers=headers, **named)
        assert made.json["message"] == "Route successfully created"
        loaded = (await api.get(f"/v1/apps/app/routes{path}")).json["route"]
        assert loaded == made.json["route"]
        assert loaded["headers"] == headers
    assert (await api.get("/v1/apps/app")).status == 200
    for _ in range(2):
        again = await api.change_route("/first", "PUT", type="async", headers=headers, config={"K": "v"})
        assert again.json["message"] == "Route successfully updated"
        route = again.json["route"]
        assert (route["image"], route["type"], route["config"]) == ("i:1", "async", {"K": "v"})
        assert (route["headers"], route["timeout"], route["idle_timeout"]) == (headers, 30, 30)


async def test_a_refused_put_of_a_new_route_leaves_nothing(api: ServedApi) -> None:
    """U-07."""
    answers = [
        await api.ask("PUT", f"/v1/apps/{app}/routes/myroute", json=body) for app, body, _, _ in REFUSED_PUTS
    ]
    found = [
        (app, body, answer.status, answer.headline)
        for (app, body, _, _), answer in zip(REFUSED_PUTS, answers, strict=True)
    ]
    assert found == REFUSED_PUTS
    assert await api.rows("apps") == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_refused_change_changes_nothing(api: ServedApi, method: str) -> None:
    """A-11, U-11: of a route of two segments."""
    before = (await api.change_route("/myroute/do", "PUT", image="i")).json["route"]
    answers = [await api.change_route("/myroute/do", method, **fields) for fields, _, _ in REFUSED_CHANGES]
    found = [
        (fields, answer.status, answer.headline)
        for (fields, _, _), answer in zip(REFUSED_CHANGES, answers, strict=True)
    ]
    assert found == REFUSED_CHANGES
    for body, message in ((b"", "Invalid JSON"), (b"{}", "Missing new route")):
        answer = await api.ask(method, "/v1/apps/app/routes/myroute/do", data=body)
        assert (answer.status, answer.headline) == (400, message)
    assert (await api.get("/v1/apps/app/routes/myroute/do")).json["route"] == before


async def test_changes_are_validated_as_merged(api: ServedApi) -> None:
    """A-10, U-11: what is too long for a sync route is not for an async one."""
    await api.change_route("/myroute/do", "PUT", image="i")
    answer = await api.change_route("/myroute/do", type="async", timeout=121, idle_timeout=240)
    assert answer.json["message"] == "Route successfully updated"
    back = await api.change_route("/myroute/do", type="sync")
    assert (back.status, back.headline) == (400, TIMEOUT)


async def test_headers_and_config_are_deleted_by_what_is_empty(api: ServedApi) -> None:
    """A-10: whatever the case of the header's name, unlike Fn."""
    headers = {"x-foo": ["1"], "B": ["2"], "C": ["3"]}
    await api.change_route("/p", "PUT", image="i", headers=headers, config={"A": "1", "C": "2"})
    emptied = {"X-Foo": [], "B": None, "C": ["4", "5"]}
    route = (await api.change_route("/p", headers=emptied, config={"A": ""})).json["route"]
    assert (route["headers"], route["config"]) == ({"C": ["4", "5"]}, {"C": "2"})
    route = (await api.change_route("/p", headers={"C": []}, config={"C": ""})).json["route"]
    assert not {"headers", "config"} & set(route)


async def test_a_change_of_an_unknown_route_creates_nothing(api: ServedApi) -> None:
    """U-10, U-11."""
    for body in ({}, {"image": "i"}):
        answer = await api.change_route("/none", **body)
        assert (answer.status, answer.headline) == (404, "Route not found")
    assert (await api.get("/v1/apps/app/routes/none")).headline == "Route not found"
    assert (await api.ask("PATCH", "/v1/apps/app/routes/none", data=b"{")).headline == "Invalid JSON"
    assert (await api.ask("PATCH", "/v1/apps/app/routes/none", json={})).headline == "Missing new route"
    assert await api.rows("apps") == 0


async def test_a_change_may_send_back_what_was_read(api: ServedApi) -> None:
    """A-10: with its path or without. The time of the update moves only if something changes."""
    await api.change_route("/a%20b/%C3%BC", "PUT", image="i")
    route = (await api.get("/v1/apps/app/routes/a%20b/%C3%BC")).json["route"]
    assert route["path"] == "/a b/ü"
    assert (await api.change_route("/a%20b/%C3%BC", **route)).json["route"] == route
    del route["path"]
    changed = (await api.change_route("/a%20b/%C3%BC", **route | {"type": "async"})).json["route"]
    assert (changed["type"], changed["created_at"]) == ("async", route["created_at"])
    assert changed["updated_at"] > route["updated_at"]


async def test_a_deleted_route_is_gone_at_once(api: ServedApi) -> None:
    """A-13, U-08, U-10: then, as one that never was, not found."""
    path = await api.create_route()
    await api.submit(path)
    assert (await api.ask("DELETE", "/v1/apps/app/routes/hello")).json == {"message": "Route deleted"}
    for method, gone in (
        ("GET", "/v1/apps/app/routes/hello"),
        ("DELETE", "/v1/apps/app/routes/hello"),
        ("GET", "/v1/apps/none/routes/hello"),
        ("DELETE", "/v1/apps/none/routes/hello"),
        ("POST", path),
    ):
        answer = await api.ask(method, gone)
        assert (answer.status, answer.headline) == (404, "Route not found")


async def test_routes_are_listed_in_pages_and_by_image(api: ServedApi) -> None:
    """A-09, U-09: in byte order, one by one and after the last; by image; of no app."""
    for path, image in (("/test", "b"), ("/Test", "a"), ("/abcdefg", "a")):
        await api.create_route(path=path, image=image)

    async def page(query: str) -> tuple[list[str], str]:
        answer = (await api.get(f"/v1/apps/app/routes?{query}")).json
        assert answer["message"] == "Successfully listed routes"
        return [route["path"] for route in answer["routes"]], answer["next_cursor"]

    paths = ["/Test", "/abcdefg", "/test"]
    assert await page("per_page=") == (paths, "")
    cursor, seen = "", []
    for _ in paths:
        found, cursor = await page(f"per_page=1&cursor={cursor}")
        assert base64.urlsafe_b64decode(cursor + "==").decode() == found[0]
        seen += found
    assert seen == paths
    assert await page(f"per_page=1&cursor={cursor}") == ([], "")
    assert await page("image=a") == (["/Test", "/abcdefg"], "")
    assert await page("image=none") == ([], "")
    for app, status, message in (("none", 404, "App not found"), ("", 400, "Missing app name")):
        answer = await api.get(f"/v1/apps/{app}/routes")
        assert (answer.status, answer.headline) == (status, message)
