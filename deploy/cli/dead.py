"""`millrace dead`: calls that were given up because their workers were lost too often."""

import click
import msgspec

from deploy.cli.answers import Record, decode
from deploy.cli.asking import Api, Commands, ask, asks_api, confirm, json_option, url_option, yes_option
from deploy.cli.client import LONG_ANSWER_S
from deploy.cli.examples import examples
from deploy.cli.listing import PER_PAGE, Listing, show_list
from deploy.cli.terminal import utc

Selection = dict[str, object]


class _Dead(msgspec.Struct):
    calls: list[Record]


class _Moved(msgspec.Struct):
    requeued: int = 0
    purged: int = 0
    has_more: bool = False


_ids = click.argument("ids", nargs=-1, metavar="[ID]...")
_app = click.option("--app", default="", help="All of this app.")
_all = click.option("--all", "every", is_flag=True, help="All there are.")


@click.group("dead", cls=Commands)
def dead_group() -> None:
    """Dead calls: given up after too many attempts. Requeue them, or purge them."""


@dead_group.command("list")
@click.option("--app", default="", help="Only those of this app.")
@click.option("--limit", type=click.IntRange(1, PER_PAGE), default=30, show_default=True, help="How many.")
@click.option("--all", "every", is_flag=True, help="All there are; as JSON, a page of the api on each line.")
@json_option
@asks_api
@examples("millrace dead list --app mine")
async def list_dead(api: Api, app: str, limit: int, every: bool, as_json: bool) -> None:
    """List dead calls, newest first."""
    listing = Listing(
        "/v1/dead", ("call", "app", "path", "attempts", "created (UTC)", "given up (UTC)"), _rows
    )
    query = {"app": app} if app else {}
    await show_list(api, listing, query, as_json=as_json, limit=None if every else limit)


@dead_group.command("requeue")
@_ids
@_app
@_all
@json_option
@asks_api
@examples("millrace dead requeue --app mine")
async def requeue_dead(api: Api, ids: tuple[str, ...], app: str, every: bool, as_json: bool) -> None:
    """Make a new call of each, once: those of these IDs, all of an app, or all there are."""
    await _move(api, "requeue", _selection(ids, app, every), as_json)


@dead_group.command("purge")
@_ids
@_app
@_all
@yes_option
@json_option
@url_option
@examples("millrace dead purge --app mine --yes")
def purge_dead(ids: tuple[str, ...], app: str, every: bool, is_sure: bool, as_json: bool, url: str) -> None:
    """Delete dead calls with their inputs, results and logs."""
    selection = _selection(ids, app, every)
    which = f"of app {app}" if app else "there are"
    confirm(f"Delete all dead calls {which}?", is_sure=is_sure or bool(ids))
    ask(url, lambda api: _move(api, "purge", selection, as_json))


def _selection(ids: tuple[str, ...], app: str, every: bool) -> Selection:
    given: list[Selection] = []
    if ids:
        given.append({"ids": ids})
    if app:
        given.append({"app": app})
    if every:
        given.append({"all": True})
    if len(given) != 1:
        raise click.UsageError("say which: by IDs, or --app, or --all")
    return given[0]


async def _move(api: Api, action: str, selection: Selection, as_json: bool) -> None:
    """Ask for as many times as there is more; how many were moved in all, or each answer as a line of JSON."""
    count, body = 0, msgspec.json.encode(selection)
    while True:
        answer = await api.client.ask("POST", f"/v1/dead/{action}", body, answer_s=LONG_ANSWER_S)
        moved = decode(answer, _Moved)
        count += moved.requeued + moved.purged
        if as_json:
            api.terminal.data(answer.rstrip() + b"\n")
        if not (moved.has_more and moved.requeued + moved.purged):
            break
    if not as_json:
        api.terminal.line(f"{count} {action}d")
    if moved.has_more:
        api.terminal.remark("some are left: there is no room for them in the queue now")


def _rows(answer: bytes) -> list[list[str]]:
    return [
        [
            *(call.id, call.app_name, call.path, str(call.attempt)),
            *(utc(call.created_at), utc(call.completed_at)),
        ]
        for call in decode(answer, _Dead).calls
    ]
