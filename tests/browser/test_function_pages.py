"""What a function answers, opened in a browser on the api's own origin: it must be nobody there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from api import access, middlewares
from common.models import Headers
from tests.browser.chromium import Tab
from tests.browser.functions import Functions
from tests.integration.api.served import ServedApi

pytestmark = pytest.mark.asyncio(loop_scope="session")

# It tries all that a page of this origin may do, and tells whoever opened it what came of it.
ATTACK = """
<title>attack</title><iframe name="frame"></iframe>
<form method="post" enctype="text/plain" action="/v1/apps" target="frame">
<input name='{"app": {"name": "byform", "config": {"a": "' value='"}}}'></form>
<script>
const tried = {};
async function attempt(name, act) {
  try { tried[name] = String(await act()); } catch (error) { tried[name] = error.name; }
}
(async () => {
  await attempt("cookie", () => { document.cookie = "mine=1; path=/"; return document.cookie; });
  await attempt("storage", () => localStorage.length);
  await attempt("opener", () => opener.document.title);
  await attempt("service worker", async () => (await navigator.serviceWorker.register("WORKER", {scope: "/"})).scope);
  await attempt("list apps", async () => (await fetch("/v1/apps")).status);
  await attempt("form", () => { document.forms[0].submit(); return "sent"; });
  await attempt("delete app", async () => (await fetch("/v1/apps/other", {method: "DELETE"})).status);
  await attempt("create app", async () => (await fetch("/v1/apps", {
    method: "POST", mode: "no-cors", body: JSON.stringify({app: {name: "byfetch"}})})).type);
  await attempt("create token", async () => (await fetch("/v1/tokens", {
    method: "POST", body: JSON.stringify({name: "evil", scope: "admin"})})).status);
  opener.postMessage(tried, "*");
  addEventListener("message", () => {
    try { opener.location = "/healthz"; } finally { opener.postMessage("tried", "*"); }
  });
})();
</script>
"""
WORKER = "self.addEventListener('fetch', (event) => event.respondWith(new Response('mine now')));"
# A function and a route that would undo the sandbox.
UNDO: Headers = {
    "Content-Security-Policy": ["sandbox allow-scripts allow-same-origin allow-top-navigation"],
    "Service-Worker-Allowed": ["/"],
    "Set-Cookie": ["theirs=1; Path=/"],
}
GO = "window.opened.postMessage('go', '*')"  # tells the page to move its opener
ANSWERED = (
    f"new Promise((resolve) => {{ addEventListener('message', (event) => resolve(event.data)); {GO}; }})"
)
OPEN = """
new Promise((resolve) => {
  addEventListener("message", (event) => resolve(event.data), {once: true});
  window.opened = open("%s");
})
"""


async def attacked(tab: Tab, api: ServedApi, functions: Functions) -> dict[str, Any]:
    """What came of each attempt of a function's page that the api's own page has opened."""
    await api.post("/v1/apps", {"app": {"name": "other"}})
    await functions.add("/worker", WORKER, {"Content-Type": ["text/javascript"], **UNDO})
    page = await functions.add("/page", ATTACK.replace("WORKER", "/r/app/worker"), UNDO, headers=UNDO)
    await tab.open(f"http://localhost:{api.port}/docs", "Millrace")
    tried: dict[str, Any] = await tab.run(OPEN % page, userGesture=True)
    return tried


async def names_of_apps(api: ServedApi) -> set[str]:
    rows = await api.store.get_database().fetch("SELECT name FROM apps")
    return {row["name"] for row in rows}


async def test_a_functions_page_is_nobody_on_the_apis_origin(
    tab: Tab, api: ServedApi, functions: Functions
) -> None:
    tried = await attacked(tab, api, functions)
    assert tried == {
        "cookie": "SecurityError",
        "storage": "SecurityError",
        "opener": "SecurityError",
        "service worker": "SecurityError",
        "list apps": "TypeError",
        "form": "sent",
        "delete app": "TypeError",
        "create app": "opaque",  # it was sent; what became of it is asked below
        "create token": "TypeError",
    }
    assert await names_of_apps(api) == {"app", "other"}
    assert await api.rows("tokens") == 0
    assert [call.path for call in functions.called] == ["/page"]
    assert (
        await tab.run(
            "navigator.serviceWorker.getRegistrations().then((all) => document.cookie + all.length)"
        )
        == "0"
    )
    assert await tab.run(ANSWERED) == "tried"
    assert await tab.run("location.pathname") == "/docs"


async def test_without_the_policy_it_would_be_admin(
    tab: Tab, api: ServedApi, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same page does all of it then: the attempts are real ones."""
    monkeypatch.setattr(middlewares, "seal", lambda _response, **_options: None)
    monkeypatch.setattr(access, "refuse_service_worker", lambda _request: None)
    monkeypatch.setitem(UNDO, "Content-Security-Policy", ["img-src *"])
    tried = await attacked(tab, api, functions)
    assert tried == {
        "cookie": "theirs=1; mine=1",
        "storage": "0",
        "opener": "Millrace API 0.1.0",
        "service worker": f"http://localhost:{api.port}/",
        "list apps": "200",
        "form": "sent",
        "delete app": "200",
        "create app": "basic",
        "create token": "200",
    }
    assert {"app", "byfetch"} <= await names_of_apps(api)
    assert await api.rows("tokens") == 1
    await tab.run(GO)
    await tab.loaded(at="/healthz")


async def test_a_stored_result_is_nobody_either(tab: Tab, api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    await api.finish(
        call_id,
        result=ATTACK.replace("WORKER", "/r/app/worker").encode(),
        response_headers={"Content-Type": ["text/html"], **UNDO},
    )
    await tab.open(f"http://localhost:{api.port}/docs", "Millrace")
    tried = await tab.run(OPEN % f"/v1/apps/app/calls/{call_id}/result", userGesture=True)
    assert (tried["cookie"], tried["list apps"], tried["service worker"]) == (
        "SecurityError",
        "TypeError",
        "SecurityError",
    )
    assert await api.rows("tokens") == 0


class Site(NamedTuple):
    """Its address, and whether its page had something fetched ahead, the target before."""

    address: str
    has_fetched_ahead: asyncio.Event


@asynccontextmanager
async def another_site(target: str) -> AsyncIterator[Site]:
    """A site that leads to *target* in every way."""
    has_fetched_ahead = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": target})
        if request.path == "/ahead":
            has_fetched_ahead.set()
        rules = {
            way: [{"source": "list", "urls": [target, "/ahead"], "eagerness": "immediate"}]
            for way in ("prefetch", "prerender")
        }
        html = (
            f'<title>evil</title><a href="{target}">x</a><img src="{target}"><iframe src="{target}"></iframe>'
            f'<form method="post" action="{target}"></form>'
            f'<script type="speculationrules">{json.dumps(rules)}</script>'
        )
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Site(f"http://127.0.0.1:{runner.addresses[0][1]}", has_fetched_ahead)
    finally:
        await runner.cleanup()


async def test_no_other_site_calls_a_function_through_a_browser(
    tab: Tab, api: ServedApi, functions: Functions
) -> None:
    """Neither by a page nor by a redirect of what its reader typed, which no header tells apart from typing."""
    page = await functions.add("/page", "<title>called</title>")
    async with another_site(f"http://localhost:{api.port}{page}") as site:
        evil, has_fetched_ahead = site
        await tab.open(evil, "evil")
        async with asyncio.timeout(10):
            await has_fetched_ahead.wait()
        await tab.run("document.forms[0].submit()")
        await tab.loaded(at=f"localhost:{api.port}")
        assert "foreign_origin" in await tab.run("document.body.innerText")
        await tab.open(evil, "evil")
        await tab.click("a")
        await tab.loaded(at=f"localhost:{api.port}")
        assert "foreign_origin" in await tab.run("document.body.innerText")
        await tab.open(f"{evil}/moved", "Call this function?")
    assert functions.called == []
    await tab.click("a.button")
    await tab.loaded("called")
    assert [call.path for call in functions.called] == ["/page"]


async def test_with_tokens_a_public_page_is_opened_at_once_and_still_nobody(
    tab: Tab, api: ServedApi, functions: Functions
) -> None:
    page = await functions.add("/page", "<title>called</title>", UNDO, public=True)
    api.secret = await api.create_token()
    await tab.open(f"http://localhost:{api.port}{page}", "called")
    assert await tab.run("self.origin") == "null"
