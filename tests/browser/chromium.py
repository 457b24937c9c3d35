"""A real browser, driven through its DevTools protocol: pages, scripts in them, and what they look like."""

import asyncio
import base64
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import skip_or_fail
from tests.polling import eventually

PROGRAMS = ("chromium", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to start as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
)
ANSWER_S = 20.0
END_S = 10.0


class ScriptError(Exception):
    """A script that was evaluated in a page raised this."""


class Tab:
    """One page of a browser, with a storage and cookies of its own. Made by `Chromium.tab`."""

    def __init__(self, browser: "Chromium", session_id: str) -> None:
        self._browser = browser
        self._session_id = session_id

    async def command(self, method: str, **params: Any) -> Any:
        """Send a command of the DevTools protocol; its result."""
        return await self._browser.command(method, params, self._session_id)

    async def open(self, url: str, title: str = "") -> None:
        """Go there as from the address bar, and wait until it has loaded, under *title* if one is given."""
        await self.command("Page.navigate", url=url)
        await self.loaded(title)

    async def loaded(self, title: str = "", at: str = "") -> None:
        """Wait until a page of such a title, at such an address, has loaded."""

        async def is_there() -> bool:
            with suppress(ScriptError):  # between two pages there is nothing to ask
                state, shown, url = await self.run("[document.readyState, document.title, location.href]")
                return state == "complete" and url != "about:blank" and title in shown and at in url
            return False

        await eventually(is_there)

    async def run(self, script: str, **options: Any) -> Any:
        """The value of an expression, awaited if it is a promise. Raises ScriptError."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, **options
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise ScriptError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    async def click(self, selector: str) -> None:
        """Press the middle of an element as the mouse does."""
        place = f"document.querySelector({selector!r})"
        await self.run(f"{place}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = await self.run(
            f"(() => {{ const b = {place}.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def show(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be so large, and of a light or a dark scheme."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode((await self.command("Page.captureScreenshot", format="png"))["data"])


class Chromium:
    """A running browser. Made by `chromium`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def command(self, method: str, params: dict[str, Any] | None = None, session_id: str = "") -> Any:
        """Send a command; its result. Raises ScriptError for one that is refused."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params or {}}
        await self._socket.send_json(message | ({"sessionId": session_id} if session_id else {}))
        async with asyncio.timeout(ANSWER_S):
            return await answer

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """An empty tab that shares nothing with others."""
        context = (await self.command("Target.createBrowserContext"))["browserContextId"]
        target = await self.command(
            "Target.createTarget", {"url": "about:blank", "browserContextId": context}
        )
        attached = await self.command(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}
        )
        tab = Tab(self, attached["sessionId"])
        await tab.command("Page.enable")
        try:
            yield tab
        finally:
            await self.command("Target.disposeBrowserContext", {"browserContextId": context})

    async def aclose(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        async for message in self._socket:
            answer = message.json()
            waiting = self._answers.pop(answer.get("id", 0), None)  # events have no id
            if waiting is None or waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(ScriptError(answer["error"]["message"]))
            else:
                waiting.set_result(answer["result"])


@asynccontextmanager
async def chromium(directory: Path) -> AsyncIterator[Chromium]:
    """A browser whose profile is in *directory*; it ends with the block."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        skip_or_fail("chromium is not installed: ./deploy/test installs it as root")
    process = await asyncio.create_subprocess_exec(
        *(program, *FLAGS, f"--user-data-dir={directory}", "about:blank"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"HOME": str(directory)},
        start_new_session=True,
    )
    try:
        port, path = await eventually(lambda: _address(directory), 30)
        async with aiohttp.ClientSession() as session:
            url = f"ws://127.0.0.1:{port}{path}"
            async with session.ws_connect(url, max_msg_size=2**26) as socket:
                browser = Chromium(socket)
                try:
                    yield browser
                    with suppress(ScriptError, TimeoutError):
                        await browser.command("Browser.close")
                finally:
                    await browser.aclose()
        async with asyncio.timeout(END_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(directory: Path) -> list[str]:
    """Port and path where it listens, once it does."""
    file = directory / "DevToolsActivePort"
    lines = file.read_text().split("\n") if file.exists() else []
    return lines if len(lines) == 2 else []
