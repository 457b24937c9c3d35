"""Routes, beyond Fn v1's contract (test_fn_contract_routes.py): where its server failed, and fields of our own."""

import asyncio
from typing import Any

from tests.integration.api.served import ServedApi


async def test_a_path_is_stored_as_it_is_looked_up(api: ServedApi) -> None:
    for number, spelt in enumerate(("/foo/", "//foo", "/a/../foo", "/./foo", "/%66oo")):
        answer = await api.post(f"/v1/apps/app{number}/routes", {"route": {"path": spelt, "image": "i"}})
        assert answer.json["route"]["path"] == "/foo"
    for path in ("foo", "/foo", "%66oo", "bar/../foo"):
        assert (await api.get(f"/v1/apps/app0/routes/{path}")).status == 200


async def test_how_json_is_written_is_shown_if_it_is_not_the_usual_way(api: ServedApi) -> None:
    made = await api.change_route("/p", "PUT", image="i", json_framing="universal", body_encoding="text")
    assert not {"json_framing", "body_encoding"} & set(made.json["route"])
    await api.change_route("/p", json_framing="line", body_encoding="base64")
    changed = (await api.change_route("/p", memory=256)).json["route"]
    assert (changed["json_framing"], changed["body_encoding"]) == ("line", "base64")
    refused = await api.change_route("/p", json_framing="x")
    assert refused.json["error"]["fields"] == "route.json_framing"


async def test_first_deploys_at_the_same_time_all_succeed(api: ServedApi) -> None:
    answers = await asyncio.gather(*(api.change_route(f"/p{n % 2}", "PUT", image="i") for n in range(8)))
    assert {answer.status for answer in answers} == {200}
    assert await api.rows("routes") == 2


async def test_the_root_route_can_be_made_read_changed_and_deleted(api: ServedApi) -> None:
    missing = await api.get("/v1/apps/app/routes/")
    assert (missing.status, missing.message) == (404, "Route not found")
    assert (await api.change_route("/", "PUT", image="i:1")).json["route"]["path"] == "/"
    assert (await api.get("/v1/apps/app/routes/")).json["route"]["image"] == "i:1"
    assert (await api.change_route("/", image="i:2")).json["route"]["image"] == "i:2"
    assert (await api.ask("DELETE", "/v1/apps/app/routes/")).json == {"message": "Route deleted"}


async def test_retries_and_age_are_shown_where_they_are_asked_for(api: ServedApi) -> None:
    await api.create_route()
    plain = (await api.get("/v1/apps/app/routes/hello")).json["route"]
    assert {"retry", "max_age"} & set(plain) == set()
    asked: dict[str, Any] = {"retry": {"max_attempts": 3, "on": ["timeout"]}, "max_age": 60}
    route = (await api.change_route("/hello", **asked)).json["route"]
    assert route["retry"] == {"max_attempts": 3, "backoff": 1, "backoff_max": 300, "on": ["timeout"]}
    assert route["max_age"] == 60
    assert (await api.change_route("/hello", timeout=20)).json["route"]["retry"] == route["retry"]
    none: dict[str, Any] = {"retry": {"max_attempts": 1}, "max_age": 0}
    assert {"retry", "max_age"} & set((await api.change_route("/hello", **none)).json["route"]) == set()
