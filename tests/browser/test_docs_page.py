"""/docs and / in a browser: the reader's address, the search, trying an endpoint, and a page that fits."""

import json
from typing import Any

import pytest

from tests.browser.chromium import Tab
from tests.browser.functions import Functions
from tests.integration.api.served import ServedApi
from tests.polling import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


def shown(selector: str) -> str:
    """A script: the ids of the elements that are not hidden."""
    return f"[...document.querySelectorAll({json.dumps(selector)})].filter((e) => e.checkVisibility()).map((e) => e.id)"


async def tried(tab: Tab, operation: str, **fields: str) -> str:
    """What is shown after the form of an endpoint was filled in and sent."""
    article = f"#{operation}"
    await tab.click(f"{article} .command + .button")
    for name, value in fields.items():
        place = f"document.querySelector('{article} form').elements['{name}'].value"
        await tab.run(f"{place} = {json.dumps(value)}")
    await tab.click(f"{article} form .button")

    async def answer() -> Any:
        is_done = await tab.run(f"!document.querySelector('{article} form .button').disabled")
        return is_done and await tab.run(f"document.querySelector('{article} .answer').textContent")

    text: str = await eventually(answer)
    await tab.click(f"{article} .command + .button")
    return text


async def test_the_page_at_docs(tab: Tab, api: ServedApi, functions: Functions) -> None:
    address = f"http://localhost:{api.port}"
    await tab.open(f"{address}/docs", "Millrace")
    commands = await tab.run("[...document.querySelectorAll('.command code')].map((c) => c.textContent)")
    assert all(address in command for command in commands)

    all_of_them = await tab.run(shown("article"))
    await tab.run("filter.value = 'Backoff_max retry'; filter.dispatchEvent(new Event('input'))")
    assert set(await tab.run(shown("article"))) == {
        *("list_routes", "create_route", "get_route", "put_route", "update_route"),
    }
    assert await tab.run("found.textContent") == f"5 of {len(all_of_them)} endpoints"
    assert await tab.run("document.querySelectorAll('#get_route details[open]').length") >= 1
    await tab.run("filter.value = 'zebra'; filter.dispatchEvent(new Event('input'))")
    assert await tab.run(shown("article")) == []
    assert await tab.run("found.textContent") == "Nothing found"
    await tab.run("filter.value = ''; filter.dispatchEvent(new Event('input'))")
    assert await tab.run(shown("article")) == all_of_them

    answer = await tried(tab, "create_app", body='{"app": {"name": "tried"}}')
    assert answer.startswith("200 OK\n")
    assert '"name":"tried"' in answer
    assert (await api.get("/v1/apps/tried")).status == 200
    await functions.add("/deep/er", "<script>document.title = 'mine'</script>")
    answer = await tried(tab, "invoke_post", app="app", route="deep/er", body="some text")
    assert "<script>" in answer
    assert functions.called[0].payload == b"some text"
    assert "Millrace" in await tab.run("document.title")

    api.secret = await api.create_token()
    assert (await tried(tab, "list_apps")).startswith("401 ")
    await tab.run(f"document.querySelector('#token input').value = {json.dumps(api.secret)}")
    assert (await tried(tab, "list_apps", per_page="1")).startswith("200 ")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_pages_fit(tab: Tab, api: ServedApi, dark: bool) -> None:
    for path, title in (
        ("/docs", "Millrace API"),
        ("/", "Millrace"),
        ("/r/app/hello", "Call this function?"),
    ):
        for width in (1280, 390):
            await tab.show(width, 844, dark=dark)
            await tab.open(f"http://localhost:{api.port}{path}", title)
            assert await tab.run("document.documentElement.scrollWidth") <= width, (path, width)
            paper = await tab.run(
                "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
            )
            assert (sum(paper) < 3 * 128) == dark, "the style is loaded, for both schemes"
            has_list = await tab.run("document.querySelector('nav details')?.open ?? null")
            assert has_list == (None if path != "/docs" else width > 880)
