"""`millrace tokens`, by way of an api and directly in a database; and that the other commands send the token."""

import json
import re

import pytest

from deploy.cli.answers import ClientError
from deploy.cli.client import Client
from deploy.cli.terminal import Terminal
from deploy.cli.up import is_first_start
from tests.integration.api.served import ServedApi
from tests.millrace_command import Result, run

SECRET = re.compile(r"mr_[A-Za-z0-9_-]{43}")


async def test_tokens_are_created_listed_and_revoked_over_http(api: ServedApi) -> None:
    await api.create_route("mine")
    created = await run("tokens", "create", "ops", "--scope", "admin", port=api.port)
    assert created.exit_code == 0
    secret = created.output.strip()
    assert SECRET.fullmatch(secret)
    refused = await run("tokens", "list", port=api.port)
    assert refused.exit_code == 1
    assert "401" in refused.output
    assert "MILLRACE_TOKEN" in refused.output
    other = await run(
        "tokens", "create", "shop", "--scope", "invoke", "--app", "mine", port=api.port, token=secret
    )
    assert SECRET.fullmatch(other.output.strip())
    listed = await run("tokens", "list", port=api.port, token=secret)
    header, *rows = listed.output.splitlines()
    assert header.split()[:4] == ["token", "name", "scope", "app"]
    assert [row.split()[1:4] for row in rows] == [["ops", "admin", "-"], ["shop", "invoke", "mine"]]
    assert not SECRET.search(listed.output)
    shown = json.loads((await run("tokens", "list", "--json", port=api.port, token=secret)).output)
    assert [(token["name"], token.get("app")) for token in shown["tokens"]] == [
        ("ops", None),
        ("shop", "mine"),
    ]
    token_id = rows[1].split()[0]
    assert (await run("tokens", "revoke", token_id, port=api.port, token=secret)).exit_code == 0
    assert [token["id"] for token in await tokens(api, secret)] == [rows[0].split()[0]]
    again = await run("tokens", "revoke", token_id, port=api.port, token=secret)
    assert (again.exit_code, "Token not found" in again.output) == (1, True)


async def test_the_first_token_is_created_in_the_database(
    empty_database_url: str,
) -> None:
    # Not migrated: no api has run yet.
    async def in_database(*arguments: str) -> Result:
        return await run("tokens", *arguments, "--database", database_url=empty_database_url)

    refused = await in_database("create", "x", "--scope", "app", "--app", "none")
    assert (refused.exit_code, "App not found" in refused.output) == (1, True)
    created = await in_database("create", "ops", "--scope", "admin")
    assert created.exit_code == 0, created.output
    secret = created.output.strip()
    assert SECRET.fullmatch(secret)
    listed = await in_database("list")
    assert "ops" in listed.output
    assert secret not in listed.output
    revoked = await in_database("revoke", listed.output.splitlines()[1].split()[0])
    assert revoked.exit_code == 0
    assert len((await in_database("list")).output.splitlines()) == 1


async def test_a_token_of_the_database_is_good_for_an_api(api: ServedApi) -> None:
    created = await run(
        *("tokens", "create", "ops", "--scope", "admin", "--database", "-"),
        payload=f"{api.settings.database_url}\n".encode(),
    )
    async with ServedApi(api.settings) as other:
        assert (await other.get("/v1/apps")).status == 401
        assert [token["name"] for token in await tokens(other, created.output.strip())] == ["ops"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "x", "--scope", "admin", "--app", "a"), "scope admin is for no app"),
        (("create", "x", "--scope", "app"), "needs an app"),
        (("create", "", "--scope", "admin"), "name has 1 to 100"),
        (("create", "x", "--scope", "invoke", "--app", "none"), "App not found"),
        (("revoke", "nonsense"), "oken"),
    ],
)
async def test_what_is_refused_is_one_line_either_way(
    api: ServedApi, arguments: tuple[str, ...], said: str
) -> None:
    for way in (("--url", f"http://127.0.0.1:{api.port}"), ("--database",)):
        result = await run("tokens", *arguments, *way, database_url=api.settings.database_url)
        assert result.exit_code == 1
        (line,) = result.output.splitlines()
        assert said in line


@pytest.mark.parametrize("database", ["nonsense", "postgresql://127.0.0.1:1/none"])
async def test_a_database_that_can_not_be_had_is_one_line(database: str) -> None:
    result = await run("tokens", "list", "--database", database_url=database)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("postgresql://me:hunter2@127.0.0.1/x", "must not stand on a command line"),
        ("postgres://me:@127.0.0.1/x", "must not stand on a command line"),
        ("postgresql:///x?host=/tmp&password=hunter2", "must not stand on a command line"),
        ("hunter2", "stands last"),
        ("postgresql://me:hunter2@[", "it is no address"),
    ],
)
async def test_a_password_on_the_command_line_is_refused(value: str, said: str) -> None:
    result = await run("tokens", "list", "--database", value)
    assert (result.exit_code, said in " ".join(result.output.split())) == (2, True)
    assert "hunter2" not in result.output
    none = await run("tokens", "list", "--database")
    assert (none.exit_code, "MILLRACE_DATABASE_URL is not set" in none.output) == (1, True)
    empty = await run("tokens", "list", "--database", "-")
    assert (empty.exit_code, "standard input" in empty.output) == (1, True)
    allowed = await run("tokens", "list", "--database", "postgresql://me@127.0.0.1:1/x")
    assert (allowed.exit_code, len(allowed.output.splitlines())) == (1, 1)


async def test_the_other_commands_send_the_token(api: ServedApi) -> None:
    secret = await api.create_token()
    assert (await run("queue", port=api.port)).exit_code == 1
    for action in ((), ("pause",), ("resume",), ("head",)):
        assert (await run("queue", *action, port=api.port, token=secret)).exit_code == 0


async def test_a_client_tells_a_refusal_by_its_status(api: ServedApi) -> None:
    await api.create_token()
    async with Client(f"http://127.0.0.1:{api.port}") as client:
        with pytest.raises(ClientError) as caught:
            await client.get_depth()
    assert caught.value.status == 401


async def test_there_is_no_demo_where_it_may_not_ask(
    api: ServedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{api.port}"
    async with Client(url) as client:
        assert await is_first_start(client, Terminal())
    await api.create_route("mine")
    api.secret = await api.create_token()
    for secret, said in (("", "401"), (await api.create_token("app", "mine"), "403"), (api.secret, "")):
        async with Client(url, secret) as client:
            assert not await is_first_start(client, Terminal())
            assert said in capsys.readouterr().out


async def tokens(api: ServedApi, secret: str) -> list[dict[str, str]]:
    listed = await api.get("/v1/tokens", headers={"Authorization": f"Bearer {secret}"})
    found: list[dict[str, str]] = listed.json["tokens"]
    return found
