"""Each endpoint of the URL table, asked without a token, with a wrong one, and with one of each kind.

What is asked comes from the table: an endpoint that is added is tested too, or, if its path needs something that is not
known here, fails until that is.
"""

import re
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from api.urls import URLS, Access, Endpoint
from common.models import new_id, new_secret
from common.settings import Settings
from tests.integration.api.served import Answer, ServedApi

PLACEHOLDER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
NOBODY, WRONG, REVOKED = "nobody", "wrong", "revoked"
ADMIN, APP, INVOKE, OTHER_APP, OTHER_INVOKE = "admin", "app a", "invoke a", "app b", "invoke b"
HOLDERS = {ADMIN, APP, INVOKE, OTHER_APP, OTHER_INVOKE}
ALLOWED = {
    Access.OPEN: {NOBODY, WRONG, REVOKED, *HOLDERS},
    Access.INVOKE: {ADMIN, APP, INVOKE},
    Access.APP: {ADMIN, APP},
    Access.ADMIN: {ADMIN},
}
# What names no app, and yet is for tokens of any one: they see only that.
SHOWS_OWN = {"GET /v1/apps": {ADMIN, APP, OTHER_APP}, "GET /v1/calls/CALL": HOLDERS}


class World(NamedTuple):
    """Two apps with a route and two calls each, one of them ended; and the secrets of tokens, by whose they are."""

    api: ServedApi
    secrets: dict[str, str]
    ended: dict[str, str]
    waiting: dict[str, str]

    async def ask(self, whose: str, endpoint: Endpoint, app: str, call_id: str) -> Answer:
        """Ask for the endpoint in *app*."""
        given = {"app": app, "route": "hello", "call": call_id, "token": str(new_id())}
        path = PLACEHOLDER.sub(lambda match: given[match[1]], endpoint.path)
        method = "POST" if endpoint.method == "*" else endpoint.method
        secret = self.secrets.get(whose)
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return await self.api.ask(method, path, headers=headers, json={})

    async def state(self) -> list[Any]:
        """All there is, as far as requests could change it."""
        tables = {
            "apps": "name",
            "routes": "app_name",
            "calls": "id",
            "tokens": "id",
            "paused_queues": "queue_name",
        }
        rows = [
            await self.api.store.get_database().fetch(f"SELECT * FROM {table} ORDER BY {column}")  # noqa: S608
            for table, column in tables.items()
        ]
        return [*rows, (await self.api.queue.depth()).calls]


async def create_world(api: ServedApi) -> World:
    paths = {app: await api.create_route(app) for app in "ab"}
    ended = {}
    for app, path in paths.items():
        ended[app] = await api.submit(path)
        await api.finish(ended[app], b"result", b"log")
    waiting = {app: await api.submit(path) for app, path in paths.items()}
    api.secret = admin = await api.create_token()
    secrets = {ADMIN: admin, WRONG: new_secret(), REVOKED: await api.create_token()}
    for whose in (APP, INVOKE, OTHER_APP, OTHER_INVOKE):
        secrets[whose] = await api.create_token(*whose.split())
    tokens = (await api.get("/v1/tokens")).json["tokens"]
    await api.ask("DELETE", f"/v1/tokens/{tokens[1]['id']}")
    api.secret = ""
    return World(api, secrets, ended, waiting)


@pytest.fixture
async def world(api: ServedApi) -> World:
    return await create_world(api)


def shown(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {PLACEHOLDER.sub(lambda match: match[1].upper(), endpoint.path)}"


def allowed(endpoint: Endpoint) -> set[str]:
    return SHOWS_OWN.get(shown(endpoint), ALLOWED[endpoint.access])


def may_see(whose: str, endpoint: Endpoint, app: str) -> bool:
    """Whether a holder sees something of *app* at an endpoint that shows only what is one's own."""
    return shown(endpoint) in SHOWS_OWN and (whose == ADMIN or whose.endswith(f" {app}"))


@pytest.mark.parametrize("endpoint", URLS, ids=shown)
async def test_an_endpoint_is_for_whom_the_table_says_and_nobody_else(
    world: World, endpoint: Endpoint
) -> None:
    before = await world.state()
    refused = sorted({NOBODY, WRONG, REVOKED, *HOLDERS} - allowed(endpoint))
    for whose in refused:
        status, code = (403, "forbidden") if whose in HOLDERS else (401, "unauthorized")
        for call_id in (world.waiting["a"], world.ended["a"]):
            answer = await world.ask(whose, endpoint, "a", call_id)
            assert (answer.status, answer.json["error"]["code"]) == (status, code), whose
            assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
            assert world.ended["a"] not in answer.body.decode()
    assert await world.state() == before
    for whose in sorted(allowed(endpoint)):
        answer = await world.ask(whose, endpoint, "a", world.ended["a"])
        assert answer.status not in (401, 403), (whose, answer.body)


@pytest.mark.parametrize("endpoint", [one for one in URLS if "{app" in one.path], ids=shown)
async def test_a_refusal_says_nothing_of_what_there_is(world: World, endpoint: Endpoint) -> None:
    for whose in (NOBODY, WRONG, APP, INVOKE):
        answers = [
            await world.ask(whose, endpoint, app, call_id)
            for app, call_id in (
                ("b", world.waiting["b"]),
                ("b", str(new_id())),
                ("nowhere", str(new_id())),
                ("b%2F..%2Fa", str(new_id())),
            )
        ]
        assert {answer.body for answer in answers} == {answers[0].body}, whose
        assert answers[0].status == (401 if whose in (NOBODY, WRONG) else 403)


@pytest.mark.parametrize("endpoint", [one for one in URLS if "{call" in one.path], ids=shown)
async def test_a_call_is_not_found_in_another_app(world: World, endpoint: Endpoint) -> None:
    before = await world.state()
    for whose in sorted(allowed(endpoint)):
        if may_see(whose, endpoint, "b"):
            continue  # the path names no app, and the call is one's own
        for call_id in (world.waiting["b"], world.ended["b"]):
            answer = await world.ask(whose, endpoint, "a", call_id)
            unknown = await world.ask(whose, endpoint, "a", str(new_id()))
            assert (answer.status, answer.body) == (404, unknown.body), whose
    assert await world.state() == before


async def test_a_token_of_an_app_lists_that_app_alone(world: World) -> None:
    for whose, names in ((ADMIN, ["a", "b"]), (APP, ["a"]), (OTHER_APP, ["b"])):
        headers = {"Authorization": f"Bearer {world.secrets[whose]}"}
        for query in ("", "?per_page=1", "?cursor="):
            answer = await world.api.get(f"/v1/apps{query}", headers=headers)
            found = [app["name"] for app in answer.json["apps"]]
            assert found == (names[:1] if "1" in query else names)
    headers = {"Authorization": f"Bearer {world.secrets[APP]}"}
    page = (await world.api.get("/v1/apps?per_page=1", headers=headers)).json
    rest = await world.api.get(f"/v1/apps?per_page=1&cursor={page['next_cursor']}", headers=headers)
    assert rest.json["apps"] == []


async def test_an_app_is_made_by_admins_alone_also_by_way_of_a_route(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.secrets[APP]}"}
    route = {"route": {"path": "/x", "image": "i"}}
    for method, path in (("POST", "/v1/apps/new/routes"), ("PUT", "/v1/apps/new/routes/x")):
        assert (await world.api.ask(method, path, json=route, headers=headers)).status == 403
        assert (
            await world.api.ask(method, path.replace("new", "a"), json=route, headers=headers)
        ).status in (
            200,
            409,
        )
    assert await world.api.rows("apps") == 2


async def test_a_public_route_may_be_called_by_anybody_and_its_calls_read_by_few(world: World) -> None:
    api = world.api
    api.secret = world.secrets[APP]
    public = await api.create_route("a", path="/open", public=True)
    api.secret = ""
    for whose in (NOBODY, WRONG, OTHER_APP, INVOKE):
        secret = world.secrets.get(whose)
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        answer = await api.ask("POST", public, headers=headers)
        assert answer.status == 202, whose
        read = await api.get(f"/v1/apps/a/calls/{answer.json['call_id']}", headers=headers)
        assert read.status == {NOBODY: 401, WRONG: 401, OTHER_APP: 403, INVOKE: 200}[whose]
    for path in ("/r/a/hello", "/r/a/nowhere", "/r/nowhere/open", "/r/a", "/r//open"):
        answer = await api.ask("POST", path)
        assert (answer.status, answer.headline) == (401, "A valid token is needed"), path
    api.secret = world.secrets[APP]
    await api.ask("PATCH", "/v1/apps/a/routes/open", json={"route": {"public": False}})
    api.secret = ""
    assert (await api.ask("POST", public)).status == 401


async def test_a_public_sync_route_needs_no_token_either(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=1)) as api:
        closed = await api.create_route("a", path="/closed", type="sync")
        public = await api.create_route("a", path="/open", type="sync", public=True)
        await api.submit(await api.create_route("a"))
        await api.create_token()
        assert (await api.ask("POST", closed)).status == 401
        # Let in, and refused for want of room only: nobody runs it here.
        assert (await api.ask("POST", public)).json["error"]["code"] == "queue_full"


async def test_what_is_no_bearer_token_is_none(world: World) -> None:
    for given in ("", "Bearer", "Basic YTpi", world.secrets[ADMIN], f"Bearer {world.secrets[ADMIN]} x"):
        answer = await world.api.get("/v1/apps", headers={"Authorization": given})
        assert answer.status == 401, given
    head = b"GET /v1/apps HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    bearer = f"Authorization: Bearer {world.secrets[ADMIN]}\r\n".encode()
    assert (await world.api.raw(head + bearer + b"\r\n"))[0] == 200
    assert (await world.api.raw(head + bearer + bearer + b"\r\n"))[0] in {400, 401}
    assert (await world.api.raw(head + b"Authorization: Bearer \xff\r\n\r\n"))[0] in {400, 401}


async def test_with_tokens_hosts_and_origins_may_be_any(world: World) -> None:
    bearer = {"Authorization": f"Bearer {world.secrets[ADMIN]}"}
    foreign = {"Host": "api.example", "Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    assert (await world.api.get("/v1/apps", headers=bearer | foreign)).status == 200
    assert (await world.api.get("/version", headers=foreign)).status == 200
    assert (await world.api.get("/v1/apps", headers=foreign)).status == 401
    assert (await world.api.get("/nowhere", headers=foreign)).status == 404


async def test_refusals_are_counted(world: World) -> None:
    await world.api.get("/v1/apps")
    await world.ask(APP, next(one for one in URLS if one.path == "/metrics"), "a", "")
    scrape = await world.api.get("/metrics", headers={"Authorization": f"Bearer {world.secrets[ADMIN]}"})
    lines = scrape.body.decode().splitlines()
    assert 'millrace_requests_refused_total{code="unauthorized"} 1.0' in lines
    assert 'millrace_requests_refused_total{code="forbidden"} 1.0' in lines


@pytest.mark.parametrize(("serve", "refused"), [("v1", "/r/"), ("r", "/v1/")])
async def test_an_api_may_serve_a_part_alone(settings: Settings, serve: str, refused: str) -> None:
    """Fn's U-20."""
    async with ServedApi(replace(settings, serve=serve)) as api:
        for endpoint in URLS:
            answer = await World(api, {}, {}, {}).ask(NOBODY, endpoint, "a", str(new_id()))
            if not endpoint.path.startswith(refused):
                assert answer.headline not in MESSAGES.values() if answer.status == 400 else True, endpoint
                continue
            assert (answer.status, answer.headline) == (400, MESSAGES[refused]), endpoint
        assert (await api.get(refused + "some/path")).headline == MESSAGES[refused]
        for path in ("/", "/version", "/healthz", "/readyz", "/metrics"):
            assert (await api.get(path)).status == 200


MESSAGES = {
    "/r/": "Invoking routes /r/ is not supported on nodes configured as type API",
    "/v1/": "Invoking api /v1/ requests is not supported on nodes configured as type Runner",
}
