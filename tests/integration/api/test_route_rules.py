"""What an operator allows of a route: registries for everybody, a writable root for admins alone."""

import pytest

from tests.integration.api.served import ROUTE, ServedApi

ELSEWHERE = "127.0.0.1:2375/x"


async def test_a_registry_that_is_not_listed_is_refused_by_name(api: ServedApi) -> None:
    answer = await api.post("/v1/apps/app/routes", {"route": ROUTE | {"image": ELSEWHERE}})
    await api.create_route()
    changed = [await api.change_route(ROUTE["path"], method, image=ELSEWHERE) for method in ("PATCH", "PUT")]
    for refused in (answer, *changed):
        error = refused.json["error"]
        assert (refused.status, error["code"]) == (403, "route_image_not_allowed")
        assert error["fields"] == "route.image"
        for part in (ELSEWHERE, "docker.io", "MILLRACE_REGISTRIES"):
            assert part in error["message"]
    assert (await api.change_route(ROUTE["path"], image="docker.io/me/upper:2")).status == 200


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_only_admins_give_a_writable_root(api: ServedApi, method: str) -> None:
    await api.create_route(path="/other")
    admin = await api.create_token()
    api.secret = admin
    owner = {"Authorization": f"Bearer {await api.create_token('app', 'app')}"}
    boss = {"Authorization": f"Bearer {admin}"}
    path = "/v1/apps/app/routes"
    open_route = {"route": ROUTE | {"writable_root": True}}
    at = path + ROUTE["path"]

    async def status(headers: dict[str, str], verb: str, where: str, body: object) -> tuple[int, str]:
        answer = await api.ask(verb, where, json=body, headers=headers)
        return answer.status, answer.json.get("error", {}).get("code", "")

    refused = (403, "route_writable_root_not_allowed")
    change = {"route": {"writable_root": True}}
    assert await status(owner, "POST", path, open_route) == refused
    assert await status(owner, "POST", path, {"route": ROUTE}) == (200, "")
    assert await status(owner, method, at, change) == refused
    assert await status(boss, method, at, change) == (200, "")
    assert await status(owner, method, at, {"route": {"writable_root": True, "memory": 64}}) == (200, "")
    assert await status(owner, method, at, {"route": {"writable_root": False}}) == (200, "")
    assert await status(owner, method, at, change) == refused
