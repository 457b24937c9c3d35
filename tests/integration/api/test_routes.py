"""Routes over HTTP: Fn v1's rules, messages and merge; paths of any depth; no app left behind by a refused route."""

import asyncio
from typing import Any

import pytest

from tests.integration.api.served import Answer, ServedApi

TIMEOUT = (
    "timeout value is out of range. Sync should be between 0 and 120, async should be between 0 and 3600"
)
IDLE = "idle_timeout value is out of range. It should be between 0 and 3600"
MEMORY = "memory value is out of range. It should be between 0 and 8192"
FRAMING = "Invalid route json_framing: universal or line"
ENCODING = "Invalid route body_encoding: text or base64"
PATH_CHANGED = "Could not update - path is immutable"

REFUSED: list[tuple[object, str]] = [
    ({}, "Missing new route"),
    ({"path": "/myroute"}, "Missing new route"),
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
    ({"route": {"path": "/p", "image": "i", "memory": 2**64}}, "Invalid JSON"),
    ({"route": {"path": "/p", "image": "i", "timeout": 2**31}}, "Invalid JSON"),
    ({"route": {"path": "/p", "image": "i", "timeout": "3"}}, "Invalid JSON"),
    ({"route": {"path": "/p", "image": "i", "headers": {"a b": ["c"]}}}, "Invalid route Headers"),
    ({"route": {"path": "/p", "image": "i", "headers": {"a": ["b\r\nc: d"]}}}, "Invalid route Headers"),
    ({"route": {"path": "/p", "image": "i", "json_framing": "x"}}, FRAMING),
    ({"route": {"path": "/p", "image": "i", "body_encoding": "x"}}, ENCODING),
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


async def change(api: ServedApi, at: str, method: str = "PATCH", **fields: Any) -> Answer:
    return await api.ask(method, f"/v1/apps/app/routes{at}", json={"route": fields})


async def test_a_created_route_gets_its_app_and_defaults(api: ServedApi) -> None:
    answer = await api.post("/v1/apps/new/routes", {"route": {"path": "/myroute", "image": "fn/hello"}})
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


async def test_a_refused_route_leaves_neither_route_nor_app(api: ServedApi) -> None:
    answers = [await api.post("/v1/apps/new/routes", body) for body, _ in REFUSED]
    found = [(body, answer.message) for (body, _), answer in zip(REFUSED, answers, strict=True)]
    assert found == REFUSED
    assert {answer.status for answer in answers} == {400}
    assert await api.rows("apps") == 0


async def test_empty_bodies_bad_apps_and_doubled_routes_are_refused(api: ServedApi) -> None:
    route = {"route": {"path": "/myroute", "image": "i"}}
    assert (await api.ask("POST", "/v1/apps/a/routes")).message == "Invalid JSON"
    assert (await api.post("/v1/apps/$/routes", route)).message == "Invalid app name"
    assert (await api.post("/v1/apps//routes", route)).message == "Missing app name"
    assert (await api.post("/v1/apps/a/routes", route)).status == 200
    again = await api.post("/v1/apps/a/routes", route)
    assert (again.status, again.message) == (409, "Route already exists")


async def test_a_path_is_stored_as_it_is_looked_up(api: ServedApi) -> None:
    for number, spelt in enumerate(("/foo/", "//foo", "/a/../foo", "/./foo", "/%66oo")):
        answer = await api.post(f"/v1/apps/app{number}/routes", {"route": {"path": spelt, "image": "i"}})
        assert answer.json["route"]["path"] == "/foo"
    for path in ("foo", "/foo", "%66oo", "bar/../foo", "foo/"):
        assert (await api.get(f"/v1/apps/app0/routes/{path}")).status == 200


async def test_put_creates_then_merges(api: ServedApi) -> None:
    missing = await change(api, "/myroute", "PUT")
    assert (missing.status, missing.message) == (400, "Missing route Image")
    assert await api.rows("apps") == 0
    first = await change(
        api, "/myroute", "PUT", image="i:1", path="/myroute", headers={"A": ["a"], "B": ["b"]}
    )
    assert first.json["message"] == "Route successfully created"
    again = await change(api, "/myroute", "PUT", type="async", timeout=200, config={"K": "v"})
    assert again.json["message"] == "Route successfully updated"
    route = again.json["route"]
    assert (route["image"], route["type"], route["timeout"]) == ("i:1", "async", 200)
    assert (route["headers"], route["config"]) == ({"A": ["a"], "B": ["b"]}, {"K": "v"})


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_refused_change_changes_nothing(api: ServedApi, method: str) -> None:
    before = (await change(api, "/myroute/do", "PUT", image="i")).json["route"]
    answers = [await change(api, "/myroute/do", method, **fields) for fields, _, _ in REFUSED_CHANGES]
    found = [
        (fields, answer.status, answer.message)
        for (fields, _, _), answer in zip(REFUSED_CHANGES, answers, strict=True)
    ]
    assert found == REFUSED_CHANGES
    assert (await api.get("/v1/apps/app/routes/myroute/do")).json["route"] == before


async def test_changes_are_validated_as_merged(api: ServedApi) -> None:
    await change(api, "/myroute/do", "PUT", image="i")
    answer = await change(api, "/myroute/do", type="async", timeout=121, idle_timeout=240)
    assert answer.json["message"] == "Route successfully updated"
    back = await change(api, "/myroute/do", type="sync")
    assert (back.status, back.message) == (400, TIMEOUT)


async def test_how_json_is_written_is_shown_if_it_is_not_the_usual_way(api: ServedApi) -> None:
    made = await change(api, "/p", "PUT", image="i", json_framing="universal", body_encoding="text")
    assert not {"json_framing", "body_encoding"} & set(made.json["route"])
    await change(api, "/p", json_framing="line", body_encoding="base64")
    changed = (await change(api, "/p", memory=256)).json["route"]
    assert (changed["json_framing"], changed["body_encoding"]) == ("line", "base64")
    refused = await change(api, "/p", json_framing="x")
    assert refused.json["error"]["fields"] == "route.json_framing"


async def test_headers_and_config_are_deleted_whatever_the_case_of_the_header(api: ServedApi) -> None:
    await change(
        api, "/p", "PUT", image="i", headers={"x-foo": ["1"], "B": ["2"]}, config={"A": "1", "C": "2"}
    )
    route = (await change(api, "/p", headers={"X-Foo": [], "B": None}, config={"A": ""})).json["route"]
    assert "headers" not in route
    assert route["config"] == {"C": "2"}


async def test_a_change_of_an_unknown_route_creates_nothing(api: ServedApi) -> None:
    for body in ({}, {"image": "i"}):
        answer = await change(api, "/none", **body)
        assert (answer.status, answer.message) == (404, "Route not found")
    assert (await api.ask("PATCH", "/v1/apps/app/routes/none", data=b"{")).message == "Invalid JSON"
    assert (await api.ask("PATCH", "/v1/apps/app/routes/none", json={})).message == "Missing new route"
    assert await api.rows("apps") == 0


async def test_a_change_may_send_back_what_was_read(api: ServedApi) -> None:
    await change(api, "/a%20b/%C3%BC", "PUT", image="i")
    route = (await api.get("/v1/apps/app/routes/a%20b/%C3%BC")).json["route"]
    assert route["path"] == "/a b/ü"
    answer = await change(api, "/a%20b/%C3%BC", **route)
    assert answer.json["route"] == route


async def test_the_root_route_can_be_made_read_changed_and_deleted(api: ServedApi) -> None:
    missing = await api.get("/v1/apps/app/routes/")
    assert (missing.status, missing.message) == (404, "Route not found")
    assert (await change(api, "/", "PUT", image="i:1")).json["route"]["path"] == "/"
    assert (await api.get("/v1/apps/app/routes/")).json["route"]["image"] == "i:1"
    assert (await change(api, "/", image="i:2")).json["route"]["image"] == "i:2"
    assert (await api.ask("DELETE", "/v1/apps/app/routes/")).json == {"message": "Route deleted"}


async def test_a_deleted_route_is_gone_at_once(api: ServedApi) -> None:
    path = await api.create_route()
    await api.submit(path)
    assert (await api.ask("DELETE", "/v1/apps/app/routes/hello")).json == {"message": "Route deleted"}
    for method, gone in (
        ("GET", "/v1/apps/app/routes/hello"),
        ("DELETE", "/v1/apps/app/routes/hello"),
        ("POST", path),
    ):
        answer = await api.ask(method, gone)
        assert (answer.status, answer.message) == (404, "Route not found")


async def test_routes_are_listed_in_pages_and_by_image(api: ServedApi) -> None:
    for path, image in (("/test", "b"), ("/Test", "a"), ("/abcdefg", "a")):
        await api.create_route(path=path, image=image)
    listed = (await api.get("/v1/apps/app/routes?per_page=2")).json
    assert listed["message"] == "Successfully listed routes"
    assert [route["path"] for route in listed["routes"]] == ["/Test", "/abcdefg"]
    rest = (await api.get(f"/v1/apps/app/routes?per_page=2&cursor={listed['next_cursor']}")).json
    assert ([route["path"] for route in rest["routes"]], rest["next_cursor"]) == (["/test"], "")
    filtered = (await api.get("/v1/apps/app/routes?image=a")).json["routes"]
    assert [route["path"] for route in filtered] == ["/Test", "/abcdefg"]
    assert (await api.get("/v1/apps/app/routes?image=none")).json["routes"] == []
    missing = await api.get("/v1/apps/none/routes")
    assert (missing.status, missing.message) == (404, "App not found")


async def test_first_deploys_at_the_same_time_all_succeed(api: ServedApi) -> None:
    answers = await asyncio.gather(*(change(api, f"/p{n % 2}", "PUT", image="i") for n in range(8)))
    assert {answer.status for answer in answers} == {200}
    assert await api.rows("routes") == 2


async def test_retries_and_age_are_shown_where_they_are_asked_for(api: ServedApi) -> None:
    await api.create_route()
    plain = (await api.get("/v1/apps/app/routes/hello")).json["route"]
    assert {"retry", "max_age"} & set(plain) == set()
    asked: dict[str, Any] = {"retry": {"max_attempts": 3, "on": ["timeout"]}, "max_age": 60}
    route = (await change(api, "/hello", **asked)).json["route"]
    assert route["retry"] == {"max_attempts": 3, "backoff": 1, "backoff_max": 300, "on": ["timeout"]}
    assert route["max_age"] == 60
    assert (await change(api, "/hello", timeout=20)).json["route"]["retry"] == route["retry"]
    none: dict[str, Any] = {"retry": {"max_attempts": 1}, "max_age": 0}
    assert {"retry", "max_age"} & set((await change(api, "/hello", **none)).json["route"]) == set()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"retry": {"max_attempts": 99}}, "route.retry.max_attempts"),
        ({"retry": {"max_attempts": 2, "on": ["boredom"]}}, "route.retry.on"),
        ({"retry": {"max_attempts": 2, "backoff": 0}}, "route.retry.backoff"),
        ({"retry": "always"}, "route.retry"),
        ({"max_age": -1}, "route.max_age"),
        ({"max_age": 2**31 - 1}, "route.max_age"),
    ],
)
async def test_retries_out_of_range_name_their_field(
    api: ServedApi, fields: dict[str, Any], named: str
) -> None:
    await api.create_route()
    answer = await change(api, "/hello", **fields)
    assert (answer.status, answer.json["error"]["fields"]) == (400, named)
