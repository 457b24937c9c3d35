"""`millrace queue`: how deep the queue is, from a running api; pauses, resumes, rebuilds it, shows its head."""

from collections.abc import Callable
from enum import StrEnum

import click
import msgspec

from common.models import ErrorBody
from deploy.cli.answers import ClientError, UnreachableError, decode
from deploy.cli.asking import Api, asks_api, json_option
from deploy.cli.examples import examples
from deploy.cli.terminal import Terminal

REBUILD_PATH = "/v1/queue/rebuild"
_PRIORITIES = ("2", "1", "0")


class QueueAction(StrEnum):
    """What can be asked for beside the depth."""

    PAUSE = "pause"
    RESUME = "resume"
    HEAD = "head"
    REBUILD = "rebuild"


class Depth(msgspec.Struct):
    """GET /v1/queue, as far as it is shown."""

    name: str
    ready: dict[str, int]
    delayed: int
    due: int
    leased: int
    expired: int
    dead: int | None
    calls: int
    oldest_ready_ms: int | None
    conserved: bool
    given_up: int = 0
    is_paused: bool = False


class Rebuilt(msgspec.Struct):
    """A line of POST /v1/queue/rebuild: how far it is, or why it ended before it was done."""

    looked: int = 0
    restored: int = 0
    is_done: bool = False
    error: ErrorBody | None = None


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
@examples(
    "millrace queue",
    "millrace queue head",
    "millrace queue pause",
    "millrace queue resume",
    "millrace queue rebuild",
)
async def queue_command(api: Api, action: str | None, as_json: bool) -> None:
    """Show how many calls wait, by priority and state.

    `pause` first: workers get no calls until `resume`; what runs goes on, async calls are accepted.
    `head`: show the next 20 calls instead. `rebuild` first: put back whatever the queue has lost, and the pause;
    what it has stays as it is, so workers may go on.
    """
    await show_queue(api, QueueAction(action) if action else None, as_json=as_json)


async def show_queue(api: Api, action: QueueAction | None, *, as_json: bool) -> None:
    """Do *action* to the queue and print its depth, or its head if that is asked for. Raises ClientError.

    Of a rebuild, the api's own JSON is how it ended.
    """
    match action:
        case QueueAction.HEAD:
            answer = await api.client.ask("GET", "/v1/queue/head")
        case QueueAction.REBUILD:
            rebuilt = await _rebuild(api, is_shown=not as_json)
            answer = rebuilt if as_json else await api.client.get_depth()
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


async def _rebuild(api: Api, *, is_shown: bool) -> bytes:
    """Rebuild the queue, however long that takes, and show how far it is; the api's last line."""
    if not is_shown:
        return await _last_line(api, lambda _: None)
    with api.terminal.step("rebuild", "waiting for the api") as show:
        return await _last_line(api, show)


async def _last_line(api: Api, show: Callable[[str], None]) -> bytes:
    async for line in api.client.lines("POST", REBUILD_PATH):
        so_far = decode(line, Rebuilt)
        if so_far.error is not None:
            raise ClientError(f"POST {REBUILD_PATH}: {so_far.error.message} ({so_far.error.code})")
        show(f"{so_far.looked} calls looked at, {so_far.restored} were missing and are back")
        if so_far.is_done:
            return line
    raise UnreachableError(f"POST {REBUILD_PATH}: the api's answer broke off")


def _show(terminal: Terminal, depth: Depth) -> None:
    oldest = "-" if depth.oldest_ready_ms is None else f"{depth.oldest_ready_ms / 1000:.1f} s"
    rows = [
        *([f"ready, priority {priority}", str(depth.ready.get(priority, 0))] for priority in _PRIORITIES),
        ["delayed", f"{depth.delayed}  ({depth.due} due)"],
        ["leased", f"{depth.leased}  ({depth.expired} expired)"],
        ["given up", f"{depth.given_up}  (being recorded)"],
        ["all", f"{depth.calls}  ({'adds up' if depth.conserved else 'DOES NOT ADD UP'})"],
        ["oldest ready", oldest],
        ["dead", "not known now" if depth.dead is None else f"{depth.dead}  (records: `millrace dead list`)"],
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
