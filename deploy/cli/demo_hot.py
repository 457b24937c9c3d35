"""The demo's second part: two sync calls of a hot function. The first starts a container, the second finds it running.

Fails, with the reason, unless both are answered, the second by the container of the first.
"""

import time

from deploy.cli.client import Client
from deploy.cli.demo import DemoError
from deploy.cli.demo_image import make_demo_image
from deploy.cli.terminal import Terminal

APP, PATH, FUNCTION = "demo", "/hot-hello", "hot-hello"


async def run_hot_demo(client: Client, terminal: Terminal, engine: str) -> None:
    """Make the function and call it; a worker must run. Raises DemoError or what stopped it."""
    terminal.title("Demo: two sync calls of a hot function, answered as they end")
    route = {
        "path": PATH,
        "image": await make_demo_image(FUNCTION, engine),
        "type": "sync",
        "format": "json",
        "json_framing": "line",
        "memory": 64,
        "timeout": 30,
    }
    await client.put_route(APP, route)
    rows = [[name, *await _timed_call(client)] for name in ("cold", "hot")]
    terminal.table(["container", "took", "answer"], rows)
    first, second = (answer for _, _, answer in rows)
    if first == second:
        raise DemoError(f"the second call was not answered by the container of the first: {second}")


async def _timed_call(client: Client) -> tuple[str, str]:
    begun_s = time.monotonic()
    answer = await client.call(APP, PATH, b"")
    return f"{(time.monotonic() - begun_s) * 1000:.1f} ms", answer.strip()
