"""`millrace queue`: how deep the queue is, from a running api. Shows; changes nothing."""

import msgspec

from deploy.cli.client import Client
from deploy.cli.terminal import Terminal

_PRIORITIES = ("2", "1", "0")


class Depth(msgspec.Struct):
    """GET /v1/queue, as far as it is shown."""

    name: str
    ready: dict[str, int]
    delayed: int
    due: int
    leased: int
    expired: int
    dead: int
    calls: int
    oldest_ready_ms: int | None
    conserved: bool
    is_paused: bool = False


async def show_queue(url: str, terminal: Terminal, *, as_json: bool) -> None:
    """Print the depth of the queue that the api at *url* serves: as a table, or as the api's own JSON."""
    async with Client(url) as client:
        answer = await client.get_depth()
    if as_json:
        terminal.line(answer.decode().rstrip())
        return
    _show(terminal, msgspec.json.decode(answer, type=Depth))


def _show(terminal: Terminal, depth: Depth) -> None:
    oldest = "-" if depth.oldest_ready_ms is None else f"{depth.oldest_ready_ms / 1000:.1f} s"
    rows = [
        *([f"ready, priority {priority}", str(depth.ready.get(priority, 0))] for priority in _PRIORITIES),
        ["delayed", f"{depth.delayed}  ({depth.due} due)"],
        ["leased", f"{depth.leased}  ({depth.expired} expired)"],
        ["dead", str(depth.dead)],
        ["all", f"{depth.calls}  ({'adds up' if depth.conserved else 'DOES NOT ADD UP'})"],
        ["oldest ready", oldest],
    ]
    state = "paused" if depth.is_paused else "running"
    terminal.table([f"queue {depth.name}", state], rows, [{} for _ in rows])
