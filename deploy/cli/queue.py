"""`millrace queue`: how deep the queue is, from a running api; pauses it, resumes it, shows its head."""

from enum import StrEnum

import msgspec

from deploy.cli.client import Client, decode
from deploy.cli.terminal import Terminal

_PRIORITIES = ("2", "1", "0")


class QueueAction(StrEnum):
    """What can be asked for beside the depth."""

    PAUSE = "pause"
    RESUME = "resume"
    HEAD = "head"


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


class HeadCall(msgspec.Struct):
    """A call of GET /v1/queue/head. A sync one has no priority."""

    id: str
    ready_s: float
    memory_mb: int
    deliveries: int
    priority: int | None = None


class Head(msgspec.Struct):
    """GET /v1/queue/head."""

    calls: list[HeadCall]


async def show_queue(
    url: str, terminal: Terminal, action: QueueAction | None, *, as_json: bool, token: str = ""
) -> None:
    """Do *action* to the queue that the api at *url* serves and print its depth, or its head if that is asked for.

    As a table, or as the api's own JSON. Asks with *token* if there is one. Raises ClientError.
    """
    async with Client(url, token) as client:
        match action:
            case QueueAction.HEAD:
                answer = await client.get_head()
            case None:
                answer = await client.get_depth()
            case _:
                answer = await client.switch_queue(action)
    if as_json:
        terminal.line(answer.decode().rstrip())
    elif action is QueueAction.HEAD:
        _show_head(terminal, decode(answer, Head))
    else:
        _show(terminal, decode(answer, Depth))


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


def _show_head(terminal: Terminal, head: Head) -> None:
    columns = ["call", "priority", "ready for", "memory", "deliveries"]
    rows = [
        [
            call.id,
            "sync" if call.priority is None else str(call.priority),
            f"{call.ready_s:.1f} s",
            f"{call.memory_mb} MB",
            str(call.deliveries),
        ]
        for call in head.calls
    ]
    terminal.table(columns, rows, [{} for _ in rows])
