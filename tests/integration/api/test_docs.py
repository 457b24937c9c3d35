"""The document and its page as they are served, and every command on the page, run."""

import html
import json
import re
import shlex
from typing import Any, NamedTuple

from api.openapi import FILE
from api.page_commands import ADDRESS
from tests.integration.api.furnished import furnish
from tests.integration.api.served import Answer, ServedApi

DOCUMENT = json.loads(FILE.read_text())
OPERATIONS = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}
EXAMPLE = re.compile(
    r'<article id="(\w+)"[^>]*>(?:(?!</article>).)*?<pre class="command"><code>(curl.*?)</code></pre>',
    re.DOTALL,
)

# What would be in the way of an example is taken away before it.
BEFORE = {"create_app": "delete_app", "create_route": "delete_route"}


COMMANDS = {name for name in OPERATIONS if not re.fullmatch(r"invoke_.*(?<!post)", name)}


class Command(NamedTuple):
    """A curl command, as far as the page uses its options."""

    method: str
    path: str
    options: dict[str, Any]


def parsed(command: str, address: str) -> Command:
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "curl"
    method, path, headers, data = "GET", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            if name != "Authorization":  # the shell would put a token in
                headers[name] = value
        elif word == "-d":
            data = words.pop(0).encode()
        else:
            assert word.startswith(f"{address}/")
            path = word.removeprefix(address)
    return Command(method, path, {"headers": headers, "data": data})


async def ask(api: ServedApi, command: Command) -> Answer:
    return await api.ask(command.method, command.path, **command.options)


async def test_the_document_is_served(api: ServedApi) -> None:
    answer = await api.get("/openapi.json")
    assert answer.json == DOCUMENT
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_a_command_shows_a_token_once_there_is_one(api: ServedApi) -> None:
    assert b"MILLRACE_TOKEN" not in (await api.get("/docs")).body
    await api.create_token()
    assert b"-H &quot;Authorization: Bearer $MILLRACE_TOKEN&quot;" in (await api.get("/docs")).body


async def test_the_page_may_load_only_what_is_its_own(api: ServedApi) -> None:
    page = await api.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    for path, content_type in (("/docs/docs.css", "text/css"), ("/docs/docs.js", "text/javascript")):
        assert f'"{path}"' in page.body.decode()
        asset = await api.get(path)
        assert asset.status == 200
        assert asset.headers["Content-Type"] == f"{content_type}; charset=utf-8"
    for nothing in ("/docs/openapi.json", "/docs/..%2Fopenapi.json", "/docs/%00"):
        assert (await api.get(nothing)).status == 404


async def test_the_page_has_the_address_of_its_reader(api: ServedApi) -> None:
    api.secret = await api.create_token()  # else only this machine's own names are served
    for host, address in (
        ("api.example", "http://api.example"),
        ("[::1]:9", "http://[::1]:9"),
        ("a<b", ADDRESS),
        ('"><script>', ADDRESS),
    ):
        page = (await api.get("/docs", headers={"Host": host})).body.decode()
        assert f"<code>curl {address}/v1/apps " in page
        assert f"curl -X POST {address}/r/mine/upper" in page
        start = await api.get("/", headers={"Host": host, "Accept": "text/html"})
        assert f"{address}/r/mine/upper" in start.body.decode()


async def test_people_are_shown_a_page_and_programs_the_greeting(api: ServedApi) -> None:
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "application/json"):
        answer = await api.get("/", headers={"Accept": accept})
        assert (answer.status, answer.headers["Vary"]) == (200, "Accept")
        if "html" in accept:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert b'<a href="/docs">' in answer.body
        else:
            assert answer.json == {"goto": "/v1/apps", "hello": "world!"}


async def test_every_command_on_the_page_does_what_it_says(api: ServedApi) -> None:
    api.secret = await api.create_token()
    page = (await api.get("/docs")).body.decode()
    address = f"http://127.0.0.1:{api.port}"
    assert page.count("Bearer $MILLRACE_TOKEN&quot;") == sum(
        "security" in OPERATIONS[name] for name in COMMANDS
    )
    commands = {name: parsed(html.unescape(command), address) for name, command in EXAMPLE.findall(page)}
    assert set(commands) == COMMANDS
    for name, command in commands.items():
        await ask(api, commands["delete_app"])  # with its idempotency keys
        await furnish(api, is_ended=name != "cancel_call")
        if name in BEFORE:
            assert (await ask(api, commands[BEFORE[name]])).status == 200
        answer = await ask(api, command)
        assert answer.status in {200, 202}, (name, answer)
        assert str(answer.status) in OPERATIONS[name]["responses"]
