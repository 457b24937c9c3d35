"""`millrace calls` and `millrace logs`: what became of calls, and what may be done about it."""

import time
from datetime import UTC, datetime

import click
import msgspec

from common.errors import CallLogNotFoundError
from common.models.call import CallStatus
from deploy.cli.answers import Accepted, ClientError, Record, decode
from deploy.cli.asking import Api, Commands, asks_api, json_option
from deploy.cli.call import how_it_ended
from deploy.cli.call_names import of_call
from deploy.cli.client import LONG_ANSWER_S, TEXT_PLAIN, call_path, path_of
from deploy.cli.durations import seconds_of
from deploy.cli.examples import examples
from deploy.cli.following import show_live_log
from deploy.cli.listing import PER_PAGE, Listing, show_list
from deploy.cli.terminal import utc

STATUSES = [status.value for status in CallStatus]
COLUMNS = ("call", "path", "status", "priority", "attempt", "created (UTC)", "ran")


def _as_instant(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A time as the api wants it, in Unix seconds; one without a zone is UTC."""
    ago_s = seconds_of(value)
    if ago_s is not None:
        return str(int(time.time()) - ago_s)
    if not value or (value.isascii() and value.isdecimal()):
        return value
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not like 2026-01-31T12:00, 1767225600 or 15m (ago)") from None
    return str(int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()))


class _Calls(msgspec.Struct):
    calls: list[Record]


class _Message(msgspec.Struct):
    message: str


class _Members(msgspec.Struct):
    call: dict[str, object]


@click.group("calls", cls=Commands)
def calls_group() -> None:
    """Calls: what became of them; cancel them, run them again."""


@calls_group.command("list")
@click.argument("app")
@click.option("--path", default="", help="Only those of this route.")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Only those in it; may be repeated."
)
@click.option(
    "--from",
    "from_time",
    callback=_as_instant,
    default="",
    metavar="TIME",
    help="Only those created after it.",
)
@click.option(
    "--to", "to_time", callback=_as_instant, default="", metavar="TIME", help="Only those created before it."
)
@click.option("--limit", type=click.IntRange(1, PER_PAGE), default=30, show_default=True, help="How many.")
@click.option("--all", "every", is_flag=True, help="All there are; as JSON, a page of the api on each line.")
@json_option
@asks_api
@examples(
    "millrace calls list mine --status error --from 2h", "millrace calls list mine --path /upper --all --json"
)
async def list_calls(
    api: Api, /, app: str, status: tuple[str, ...], limit: int, every: bool, as_json: bool, **query: str
) -> None:
    """List the calls of an app, newest first.

    Times are like 2026-01-31T12:00 (UTC unless it says otherwise), Unix seconds, or 15m, 2h, 7d for so long ago.
    """
    query["status"] = ",".join(status)
    asked = {name: value for name, value in query.items() if value}
    listing = Listing(path_of("v1", "apps", app, "calls"), COLUMNS, call_rows)
    await show_list(api, listing, asked, as_json=as_json, limit=None if every else limit)


@calls_group.command("show")
@json_option
@asks_api
@of_call
@examples("millrace calls show $ID")
async def show_call(api: Api, app: str, call_id: str, as_json: bool) -> None:
    """Show a call: its status, why, its times."""
    answer = await api.client.ask("GET", call_path(app, call_id))
    if as_json:
        api.terminal.data(answer)
        return
    members = decode(answer, _Members).call
    samples = members.pop("stats", None)
    if isinstance(samples, list):
        members["stats"] = f"{len(samples)} samples (--json shows them)"
    api.terminal.members(members)


@calls_group.command("result")
@asks_api
@of_call
@examples("millrace calls result $ID")
async def show_result(api: Api, app: str, call_id: str) -> None:
    """Print what an ended call answered, byte for byte."""
    api.terminal.data(await api.client.ask("GET", call_path(app, call_id, "result"), answer_s=LONG_ANSWER_S))


@calls_group.command("cancel")
@json_option
@asks_api
@of_call
@examples("millrace calls cancel $WAITING")
async def cancel_call(api: Api, app: str, call_id: str, as_json: bool) -> None:
    """Cancel a call: at once if it waits; if it runs, it is killed, and keeps its log."""
    answer = await api.client.ask("DELETE", call_path(app, call_id))
    if as_json:
        api.terminal.data(answer)
    else:
        api.terminal.line(decode(answer, _Message).message)


@calls_group.command("retry")
@json_option
@asks_api
@of_call
@examples("millrace calls retry $ID")
async def retry_call(api: Api, app: str, call_id: str, as_json: bool) -> None:
    """Make a new call of an ended one, with the same input; print its id."""
    answer = await api.client.ask("POST", call_path(app, call_id, "retry"))
    if as_json:
        api.terminal.data(answer)
    else:
        api.terminal.line(decode(answer, Accepted).call_id)


@click.command("logs")
@click.option("--follow", is_flag=True, help="Show it as it is written, to the end of the call.")
@click.option("--timestamps", is_flag=True, help="Of an ended call: when each line was written.")
@json_option
@asks_api
@of_call
@examples("millrace logs $ID --timestamps", "millrace logs $ID --follow")
async def logs_command(
    api: Api, app: str, call_id: str, follow: bool, timestamps: bool, as_json: bool
) -> None:
    """Print what a call wrote to its standard error."""
    if follow and (timestamps or as_json):
        raise click.UsageError("a log that is followed is shown as it is: neither --timestamps nor --json")
    if follow:
        await show_live_log(api, app, call_id)
        return
    try:
        answer = await api.client.ask(
            *("GET", call_path(app, call_id, "log")),
            query={"timestamps": "1"} if timestamps else {},
            headers={"Accept": "application/json"} if as_json else TEXT_PLAIN,
            answer_s=LONG_ANSWER_S,
        )
    except ClientError as error:
        raise await _why_no_log(api, app, call_id, error) from error
    api.terminal.data(answer)


async def _why_no_log(api: Api, app: str, call_id: str, refused: ClientError) -> ClientError:
    """*refused*, or a better word for it: the api says the same of a call that has not ended and of none."""
    if refused.code != CallLogNotFoundError.slug:
        return refused
    try:
        call = await api.client.get_call(app, call_id)
    except ClientError as error:
        return error
    if CallStatus(call.status).is_final:
        return refused
    return ClientError(
        f"the call is {call.status} and has no log yet: --follow shows it as it is written", status=404
    )


def call_rows(answer: bytes) -> list[list[str]]:
    """A row for each call of a page, for COLUMNS."""
    return [
        [
            *(call.id, call.path, how_it_ended(call), str(call.priority), str(call.attempt)),
            *(utc(call.created_at), _ran(call)),
        ]
        for call in decode(answer, _Calls).calls
    ]


def _ran(call: Record) -> str:
    if call.started_at is None or call.completed_at is None:
        return "-"
    return f"{(call.completed_at - call.started_at).total_seconds():.2f} s"
