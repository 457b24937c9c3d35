"""`millrace queue`: how deep the queue is, from a running api; pauses it, resumes it, shows its head."""

from enum import StrEnum

import click
import msgspec

from deploy.cli.answers import decode
from deploy.cli.asking import Api, asks_api, json_option
from deploy.cli.examples import examples
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


@click.command("queue")
@click.argument("action", type=click.Choice([action.value for action in QueueAction]), required=False)
@json_option
@asks_api
@examples("millrace queue", "millrace queue head", "millrace queue pause", "millrace queue resume")
async def queue_command(api: Api, action: str | None, as_json: bool) -> None:
    """Show how many calls wait, by priority and state.

    `pause` first: workers get no calls until `resume`; what runs goes on, and new calls are accepted.
    `head`: show the next 20 calls instead.
    """
    await show_queue(api, QueueAction(action) if action else None, as_json=as_json)


async def show_queue(api: Api, action: QueueAction | None, *, as_json: bool) -> None:
    """Do *action* to the queue and print its depth, or its head if that is asked for. Raises ClientError."""
    match action:
        case QueueAction.HEAD:
            answer = await api.client.ask("GET", "/v1/queue/head")
        case None:
            answer = await api.client.get_depth()
        case _:
            answer = await api.client.ask("POST", f"/v1/queue/{action}")
    if as_json:
        api.terminal.data(answer)
    elif action is QueueAction.HEAD:
        _show_head(api.terminal, decode(answer, Head))
    else:
        _show(api.terminal, decode(answer, Depth))


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
    terminal.table([f"queue {depth.name}", state], rows)


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
    terminal.table(columns, rows)
