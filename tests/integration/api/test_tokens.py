"""/v1/tokens, what changes when the first token comes and the last one goes, and what holds without Postgres."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from api.app import create_app, create_runner
from api.keys import BODIES, TOKENS
from api.tokens import RETRY_S, STALE_S, TTL_S, TokenCache
from common.errors import SettingsError, StoreUnavailableError
from common.models import Scope, Token, hash_secret, new_id, new_secret
from common.settings import Settings
from common.store.postgres import PostgresStore
from deploy.local import LocalPostgres
from tests.integration.api.served import ServedApi
from tests.polling import eventually

FOREIGN = {"Host": "api.example"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_secret_is_shown_once(api: ServedApi) -> None:
    await api.create_route("app")
    answer = await api.post("/v1/tokens", {"name": "ops", "scope": "admin"})
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"token", "id", "name", "scope", "created_at"}
    secret = answer.json["token"]
    assert secret.startswith("mr_")
    api.secret = secret
    other = (await api.post("/v1/tokens", {"name": "ci", "scope": "app", "app": "app"})).json
    listed = await api.get("/v1/tokens")
    assert listed.json == {
        "message": "Successfully listed tokens",
        "tokens": [
            {name: value for name, value in created.items() if name != "token"}
            for created in (answer.json, other)
        ],
    }
    assert listed.json["tokens"][1]["app"] == "app"
    for hidden in (secret, other["token"], hash_secret(secret).hex()):
        assert hidden not in listed.body.decode()


@pytest.mark.parametrize(
    ("body", "status", "message", "field"),
    [
        (b"", 400, "Invalid JSON", None),
        (b"null", 400, "Invalid JSON", None),
        (b"[]", 400, "Invalid JSON", None),
        (b'{"name":1,"scope":"admin"}', 400, "Invalid JSON", "name"),
        (b'{"name":"x","name":"y","scope":"admin"}', 400, "Invalid JSON", "name"),
        (b'{"name":"x","scope":"admin","apps":"a"}', 400, "Unknown field", "apps"),
        (b'{"scope":"admin"}', 400, "A token's name has", "name"),
        (b'{"name":"","scope":"admin"}', 400, "A token's name has", "name"),
        (b'{"name":"' + b"n" * 101 + b'","scope":"admin"}', 400, "A token's name has", "name"),
        (b'{"name":"a\\u0000","scope":"admin"}', 400, "A token's name has", "name"),
        (b'{"name":"x"}', 400, "A token's scope is one of admin, app, invoke", "scope"),
        (b'{"name":"x","scope":"root"}', 400, "A token's scope is one of admin, app, invoke", "scope"),
        (b'{"name":"x","scope":"app"}', 400, "A token of scope app needs an app", "app"),
        (b'{"name":"x","scope":"invoke","app":""}', 400, "A token of scope invoke needs an app", "app"),
        (b'{"name":"x","scope":"admin","app":"app"}', 400, "A token of scope admin is for no app", "app"),
        (b'{"name":"x","scope":"app","app":"nowhere"}', 404, "App not found", None),
        (b'{"name":"x","scope":"app","app":"app"}', 409, "The first token must be of scope admin", "scope"),
    ],
)
async def test_a_refused_token_is_told_why(
    api: ServedApi, body: bytes, status: int, message: str, field: str | None
) -> None:
    await api.create_route("app")
    answer = await api.ask("POST", "/v1/tokens", data=body)
    assert (answer.status, answer.headline[: len(message)]) == (status, message)
    assert answer.json["error"].get("fields") == field
    assert await api.rows("tokens") == 0


async def test_the_first_token_closes_what_was_open_and_the_last_one_opens_it_again(api: ServedApi) -> None:
    assert (await api.get("/v1/apps")).status == 200
    assert (await api.get("/v1/apps", headers=FOREIGN)).json["error"]["code"] == "foreign_host"
    assert (await api.get("/v1/apps", headers=bearer("of Fn's clients"))).status == 200
    secret = await api.create_token()
    assert (await api.get("/v1/apps")).status == 401
    assert (await api.post("/v1/tokens", {"name": "x", "scope": "admin"})).status == 401
    assert (await api.get("/v1/apps", headers=FOREIGN)).status == 401
    assert (await api.get("/v1/apps", headers=FOREIGN | bearer(secret))).status == 200
    (token,) = (await api.get("/v1/tokens", headers=bearer(secret))).json["tokens"]
    answer = await api.ask("DELETE", f"/v1/tokens/{token['id']}", headers=bearer(secret))
    assert (answer.status, answer.json) == (200, {"message": "Token revoked"})
    assert (await api.get("/v1/apps")).status == 200
    assert (await api.get("/v1/apps", headers=FOREIGN | bearer(secret))).status == 403
    assert (await api.get("/version", headers=FOREIGN)).status == 403


async def test_of_many_who_create_the_first_token_one_gets_it(api: ServedApi) -> None:
    wanted = {"name": "x", "scope": "admin"}
    answers = await asyncio.gather(*(api.post("/v1/tokens", wanted) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    assert await api.rows("tokens") == 1


async def test_a_revoked_token_is_refused_at_once(api: ServedApi) -> None:
    api.secret = await api.create_token()
    for _ in range(5):
        created = (await api.post("/v1/tokens", {"name": "x", "scope": "admin"})).json
        assert (await api.get("/v1/apps", headers=bearer(created["token"]))).status == 200
        await api.ask("DELETE", f"/v1/tokens/{created['id']}")
        assert (await api.get("/v1/apps", headers=bearer(created["token"]))).status == 401


async def test_a_token_of_an_app_that_was_deleted_meanwhile_brings_it_back_in_no_way(api: ServedApi) -> None:
    """A request is judged when its head has come, and its body may come much later."""
    api.secret = await api.create_token()
    await api.create_route("a")
    secret = await api.create_token("app", "a")
    body = b'{"route":{"path":"/x","image":"i","type":"async","public":true}}'
    for method, path in (("PUT", "/v1/apps/a/routes/x"), ("POST", "/v1/apps/a/routes")):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body[:-1]
        )
        # The request is under way: it waits for the rest of its body.
        await eventually(lambda: api.app[BODIES].held_bytes == len(body) - 1)
        assert (await api.ask("DELETE", "/v1/apps/a")).status == 200
        writer.write(body[-1:])
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert head.split()[1] == b"404"
        assert (await api.get("/v1/apps/a")).status == 404
        await api.create_route("a")
        secret = await api.create_token("app", "a")


async def test_what_was_being_read_during_a_change_counts_for_nobody_after_it(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = new_secret()
    token = Token(id=new_id(), name="x", scope=Scope.ADMIN, hash=hash_secret(secret))
    await api.store.insert_token(token)
    clock = Clock()
    cache = TokenCache(api.store, clock)
    assert (await cache.get()).find(secret)
    read, has_read, may_go_on = api.store.get_tokens, asyncio.Event(), asyncio.Event()

    async def read_slowly() -> list[Token]:
        tokens = await read()
        has_read.set()
        await may_go_on.wait()
        return tokens

    clock.now_s += TTL_S
    monkeypatch.setattr(api.store, "get_tokens", read_slowly)
    before = asyncio.create_task(cache.get())
    await has_read.wait()
    monkeypatch.setattr(api.store, "get_tokens", read)
    await api.store.remove_token(token.id)
    await cache.reread()
    assert not (await cache.get()).find(secret)
    may_go_on.set()
    assert (await before).find(secret)
    assert not (await cache.get()).find(secret)
    await cache.aclose()


async def test_the_last_admins_token_is_not_revoked_before_the_others(api: ServedApi) -> None:
    await api.create_route("app")
    api.secret = await api.create_token()
    await api.create_token("invoke", "app")
    admin, other = ((await api.get("/v1/tokens")).json)["tokens"]
    answer = await api.ask("DELETE", f"/v1/tokens/{admin['id']}")
    assert (answer.status, answer.json["error"]["code"]) == (409, "last_admin_token")
    for token in (other, admin):
        assert (await api.ask("DELETE", f"/v1/tokens/{token['id']}")).status == 200


async def test_an_unknown_token_is_not_found(api: ServedApi) -> None:
    for token_id in (str(new_id()), "x", "%00", "mr_x"):
        answer = await api.ask("DELETE", f"/v1/tokens/{token_id}")
        assert (answer.status, answer.headline) == (404, "Token not found")


async def test_a_deleted_app_takes_its_tokens_along(api: ServedApi) -> None:
    await api.create_route("app")
    api.secret = await api.create_token()
    own = await api.create_token("app", "app")
    assert (await api.get("/v1/apps/app", headers=bearer(own))).status == 200
    await api.ask("DELETE", "/v1/apps/app")
    assert (await api.get("/v1/apps/app", headers=bearer(own))).status == 401
    await api.create_route("app")
    assert (await api.get("/v1/apps/app", headers=bearer(own))).status == 401


async def test_another_process_sees_a_change_within_seconds(api: ServedApi) -> None:
    async with ServedApi(api.settings) as other:
        assert (await other.get("/v1/apps")).status == 200
        secret = await api.create_token()

        async def answers(status: int) -> bool:
            return (await other.get("/v1/apps", headers=bearer(secret))).status == status

        async def is_closed() -> bool:
            return (await other.get("/v1/apps")).status == 401

        await eventually(is_closed, timeout_s=TTL_S + 5)
        assert await answers(200)
        api.secret = secret
        await api.create_token()
        first, *_ = (await api.get("/v1/tokens")).json["tokens"]
        await api.ask("DELETE", f"/v1/tokens/{first['id']}")
        await eventually(lambda: answers(401), timeout_s=TTL_S + 5)


async def test_open_endpoints_see_the_switch_too(api: ServedApi) -> None:
    token = Token(id=new_id(), name="x", scope=Scope.ADMIN, hash=hash_secret(new_secret()))
    assert (await api.get("/healthz", headers=FOREIGN)).status == 403
    await api.store.insert_token(token)

    async def answers(status: int) -> bool:
        return (await api.get("/healthz", headers=FOREIGN)).status == status

    await eventually(lambda: answers(200), timeout_s=TTL_S + 5)
    await api.store.remove_token(token.id)
    await eventually(lambda: answers(403), timeout_s=TTL_S + 5)


async def test_without_postgres_known_tokens_go_on_and_nobody_is_let_in_besides(
    settings: Settings, own_postgres: LocalPostgres
) -> None:
    async with ServedApi(replace(settings, database_url=own_postgres.url)) as api:
        secret = await api.create_token()
        assert (await api.get("/v1/queue", headers=bearer(secret))).status == 200
        await own_postgres.stop()
        for _ in range(3):
            assert (await api.get("/v1/queue", headers=bearer(secret))).status == 200
            assert (await api.get("/v1/queue")).status == 401
            assert (await api.get("/v1/queue", headers=bearer(new_secret()))).status == 401
            assert (await api.get("/healthz", headers=FOREIGN)).status == 200
        await api.app[TOKENS].reread()
        for headers in ({}, bearer(secret)):
            answer = await api.get("/v1/queue", headers=headers)
            assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")
        assert (await api.get("/healthz", headers=FOREIGN)).status == 200
        await own_postgres.start()

        async def is_let_in() -> bool:
            return (await api.get("/v1/queue", headers=bearer(secret))).status == 200

        await eventually(is_let_in, timeout_s=20)
        assert (await api.get("/v1/queue")).status == 401


@pytest.mark.parametrize("has_token", [True, False])
async def test_what_was_read_long_ago_is_gone_by_no_more(
    settings: Settings, own_postgres: LocalPostgres, has_token: bool
) -> None:
    store = await PostgresStore.open(replace(settings, database_url=own_postgres.url))
    clock = Clock()
    cache = TokenCache(store, clock)
    try:
        if has_token:
            token = Token(id=new_id(), name="x", scope=Scope.ADMIN, hash=hash_secret(new_secret()))
            await store.insert_token(token)
        read = await cache.get()
        assert read.exist is has_token
        assert await cache.get() is read
        await own_postgres.stop()
        for age_s in (TTL_S, TTL_S + RETRY_S, STALE_S - RETRY_S):
            clock.now_s = read.read_at_s + age_s
            assert await cache.get() is read
        clock.now_s = read.read_at_s + STALE_S + RETRY_S
        with pytest.raises(StoreUnavailableError):
            await cache.get()
        assert cache.exist() is has_token
        await own_postgres.start()

        async def is_read_again() -> bool:
            try:
                return (await cache.get()) is not read
            except StoreUnavailableError:
                return False

        await eventually(is_read_again, timeout_s=20)
    finally:
        await cache.aclose()
        await store.aclose()


async def test_an_address_that_others_reach_needs_a_token_at_the_start(settings: Settings) -> None:
    reachable = replace(settings, host="0.0.0.0")
    runner = create_runner(create_app(reachable))
    with pytest.raises(SettingsError, match="millrace tokens create"):
        await runner.setup()
    await runner.cleanup()
    async with ServedApi(settings) as api:
        api.secret = await api.create_token()
        async with ServedApi(reachable) as other:
            other.secret = api.secret
            assert (await other.get("/v1/apps")).status == 200
            # Its last token is revoked while it runs: then only this machine is served, under its own name.
            (token,) = (await other.get("/v1/tokens")).json["tokens"]
            await other.ask("DELETE", f"/v1/tokens/{token['id']}")
            assert (await other.get("/v1/apps")).status == 200
            assert (await other.get("/v1/apps", headers=FOREIGN)).status == 403


async def test_the_api_says_at_the_start_whom_it_serves(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    async with ServedApi(settings) as api:
        assert "there is no token: only this machine is served" in "".join(capfd.readouterr())
        secret = await api.create_token()
        await api.get("/v1/apps")
        assert "each request needs one" in "".join(capfd.readouterr())
    async with ServedApi(settings):
        said = "".join(capfd.readouterr())
        assert "no token" not in said
        assert json.dumps(secret)[1:-1] not in said
