"""What Fn's command line of the day, `fn` 0.4.37, sends, and what its generated client demands of the answers.

It joins and cleans paths (the root route keeps its slash), leaves empty fields out of bodies, sends a token if it has
one, takes nothing but 200 for success, reads only JSON that says it is JSON, and looks into `error` without asking
whether it is there.
"""

import json
import re
from typing import Any

import pytest

from tests.integration.api.served import Answer, ServedApi
from tests.integration.api.stand_in import StandIn, ended
from tests.integration.api.test_sync import asking

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Authorization": "Bearer a-token-of-theirs",
    "User-Agent": "Go-http-client/1.1",
}


class Fn:
    """The command line's half of a conversation."""

    def __init__(self, api: ServedApi) -> None:
        self._api = api
        self.headers = HEADERS

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """What the client makes of a 200."""
        answer = await self._send(method, path, body)
        assert answer.status == 200, answer.body
        assert isinstance(answer.json["message"], str)
        return answer.json

    async def refused(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """What the client makes of an error: its status, and its message without what is added after a colon."""
        answer = await self._send(method, path, body)
        assert answer.status >= 400, answer.body
        assert isinstance(answer.json["error"].get("fields", ""), str)
        return answer.status, answer.headline

    async def _send(self, method: str, path: str, body: object) -> Answer:
        options: dict[str, Any] = {"headers": self.headers, "skip_auto_headers": ["Content-Type"]}
        if body is not None:
            options |= {"data": json.dumps(body).encode() + b"\n"}
            options["headers"] = self.headers | {"Content-Type": "application/json"}
        answer = await self._api.ask(method, path, **options)
        assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
        for name, value in re.findall(r'"(\w+_at)":"([^"]*)"', answer.body.decode()):
            assert INSTANT.fullmatch(value), name
        return answer


@pytest.fixture
def fn(api: ServedApi) -> Fn:
    return Fn(api)


async def test_fn_token(api: ServedApi, fn: Fn) -> None:
    await fn.ask("GET", "/v1/apps")  # without any token nobody looks at theirs
    secret = await api.create_token()
    assert await fn.refused("GET", "/v1/apps") == (401, "A valid token is needed")
    fn.headers = HEADERS | {"Authorization": f"Bearer {secret}"}
    await fn.ask("GET", "/v1/apps")


async def test_fn_version(api: ServedApi) -> None:
    answer = await api.get("/version", headers=HEADERS)
    assert answer.status == 200
    assert isinstance(answer.json["version"], str)


async def test_fn_apps(fn: Fn) -> None:
    created = await fn.ask("POST", "/v1/apps", {"app": {"name": "myapp", "config": {"A": "1"}}})
    assert created["app"]["name"] == "myapp"
    assert await fn.refused("POST", "/v1/apps", {"app": {"name": "myapp"}}) == (409, "App already exists")
    assert await fn.refused("POST", "/v1/apps", {"app": {"name": "my app"}}) == (400, "Invalid app name")
    (listed,) = (await fn.ask("GET", "/v1/apps"))["apps"]
    assert listed == created["app"]
    await fn.ask("PATCH", "/v1/apps/myapp", {"app": {"config": {"B": "2"}}})
    await fn.ask("PATCH", "/v1/apps/myapp", {"app": {"config": {"A": ""}}})
    assert (await fn.ask("GET", "/v1/apps/myapp"))["app"]["config"] == {"B": "2"}
    await fn.ask("DELETE", "/v1/apps/myapp")
    for method, body in (("GET", None), ("PATCH", {"app": {"config": {"B": "3"}}}), ("DELETE", None)):
        assert await fn.refused(method, "/v1/apps/myapp", body) == (404, "App not found")


async def test_fn_routes(fn: Fn) -> None:
    routes = "/v1/apps/myapp/routes"
    given = {"path": "/hello", "image": "me/hello:0.0.1", "type": "async", "headers": {"X-A": ["1"]}}
    created = (await fn.ask("POST", routes, {"route": given}))["route"]
    assert created.items() >= given.items()
    assert await fn.refused("POST", routes, {"route": given}) == (409, "Route already exists")
    assert (await fn.ask("GET", routes))["routes"] == [created]
    await fn.ask("PATCH", f"{routes}/hello", {"route": {"memory": 256, "timeout": 60}})
    await fn.ask("PATCH", f"{routes}/hello", {"route": {"config": {"K": "v", "L": "w"}}})
    await fn.ask("PATCH", f"{routes}/hello", {"route": {"config": {"K": ""}}})
    inspected = (await fn.ask("GET", f"{routes}/hello"))["route"]
    assert (inspected["memory"], inspected["timeout"], inspected["config"]) == (256, 60, {"L": "w"})
    await fn.ask("DELETE", f"{routes}/hello")
    for method, body in (("GET", None), ("PATCH", {"route": {"memory": 64}}), ("DELETE", None)):
        assert await fn.refused(method, f"{routes}/hello", body) == (404, "Route not found")
    assert await fn.refused("GET", "/v1/apps/none/routes") == (404, "App not found")


async def test_fn_routes_of_the_root(fn: Fn) -> None:
    root = "/v1/apps/myapp/routes/"
    await fn.ask("POST", "/v1/apps/myapp/routes", {"route": {"path": "/", "image": "me/root:0.0.1"}})
    assert (await fn.ask("GET", root))["route"]["path"] == "/"
    assert (await fn.ask("PATCH", root, {"route": {"timeout": 5}}))["route"]["timeout"] == 5
    await fn.ask("DELETE", root)
    assert await fn.refused("GET", root) == (404, "Route not found")


async def test_fn_deploy(fn: Fn) -> None:
    for path in ("/hello", "/deep/er", "/"):
        for image in ("me/hello:0.0.1", "me/hello:0.0.2"):
            route = {"path": path, "image": image, "memory": 128, "timeout": 30}
            deployed = await fn.ask("PUT", f"/v1/apps/myapp/routes{path}", {"route": route})
            assert (deployed["route"]["path"], deployed["route"]["image"]) == (path, image)
    assert (await fn.ask("GET", "/v1/apps/myapp"))["app"]["name"] == "myapp"
    unnamed = await fn.refused("PUT", "/v1/apps/my%20app/routes/hello", {"route": {"image": "me/hello"}})
    assert unnamed == (400, "Invalid app name")


async def test_fn_calls_and_logs(api: ServedApi, fn: Fn) -> None:
    path = await api.create_route("myapp", headers={"X-A": ["1"]})
    call_ids = []
    for log in (b"first\n", b"second\n"):
        call_ids.append(await api.submit(path, b"{}"))
        await api.finish(call_ids[-1], log=log)
    calls = "/v1/apps/myapp/calls"
    call = (await fn.ask("GET", f"{calls}/{call_ids[0]}"))["call"]
    for name in ("id", "app_name", "path", "created_at", "started_at", "completed_at", "status"):
        assert isinstance(call[name], str)
    query = f"per_page=30&path=%2Fhello&from_time=1514764800&to_time={2**40}"
    listed = await fn.ask("GET", f"{calls}?{query}")
    assert [one["id"] for one in listed["calls"]] == call_ids[::-1]
    (last,) = (await fn.ask("GET", f"{calls}?per_page=30&cursor={call_ids[1]}"))["calls"]
    assert last["id"] == call_ids[0]
    newest = (await fn.ask("GET", calls))["calls"][0]["id"]
    log = (await fn.ask("GET", f"{calls}/{newest}/log"))["log"]
    assert log == {"call_id": newest, "app_name": "myapp", "log": "second\n"}
    assert await fn.refused("GET", f"{calls}/none") == (404, "Call not found")
    assert await fn.refused("GET", f"{calls}/none/log") == (404, "Call log not found")
    assert await fn.refused("GET", "/v1/apps/none/calls") == (404, "App not found")


async def test_fn_call(api: ServedApi, fn: Fn) -> None:
    path = await api.create_route("myapp", type="sync")
    worker = StandIn(api.queue)
    headers = HEADERS | {"Content-Type": "application/json", "An-Env-Var": "1"}
    for method, body in (("POST", b'{"name":"x"}'), ("GET", None)):  # GET: with a terminal for stdin
        answering = asking(api, path, method, data=body, headers=headers)
        taken = await worker.answer_next(result=b"Hello\n")
        answer = await answering
        assert (answer.status, answer.body) == (200, b"Hello\n")
        assert answer.headers["Fn_call_id"] == str(taken.call.id)
        assert (taken.call.method, taken.call.payload) == (method, body or b"")
        assert taken.call.headers["An-Env-Var"] == ["1"]
        assert "Authorization" not in taken.call.headers
    answering = asking(api, path, data=b"{}", headers=headers)
    await worker.reply(await worker.take(), ended(result=b"no", response_status=418))
    assert (await answering).status == 418
    assert await fn.refused("POST", "/r/myapp/none", {}) == (404, "Route not found")
    answer = await api.ask("POST", await api.create_route("myapp", path="/later"), headers=headers)
    assert (answer.status, answer.json["call_id"]) == (202, answer.headers["Fn_call_id"])
