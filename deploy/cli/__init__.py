"""The command line `millrace`. Reads the environment once, here, through common.settings; the rest gets values."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import click

from common.errors import FatalError
from common.models import Scope
from common.settings import Settings, load_settings
from deploy.cli.queue import QueueAction, show_queue
from deploy.cli.service import reachable_host
from deploy.cli.terminal import Terminal
from deploy.cli.tokens import Tokens, open_tokens, show_created, show_list
from deploy.cli.up import run_until_signal, up

_url_option = click.option(
    "--url", default="", help="The api's address; without it, this machine's by MILLRACE_HOST and _PORT."
)
_database_option = click.option(
    "--database",
    default="",
    metavar="URL",
    help="Work in this database instead of asking an api: for a first token, or when no valid one is left.",
)


@click.group()
@click.version_option(package_name="millrace")
def main() -> None:
    """Millrace runs function calls in containers."""


@main.command("up")
@click.option("--demo", is_flag=True, help="First show it at work with a few calls of a demo function.")
@click.option("--once", is_flag=True, help="Stop everything once it is ready (and the demo has run).")
def up_command(demo: bool, once: bool) -> None:
    """Run everything on this machine: Postgres, Redis, the api and one worker.

    MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL name servers to use instead of those started here.
    Ctrl-C stops it all in order; accepted calls are kept and run after the next start.
    """
    terminal = Terminal()
    try:
        settings = load_settings(os.environ)
        asyncio.run(run_until_signal(up(settings, os.environ, terminal, demo=demo, once=once), terminal))
    except FatalError as error:
        terminal.error(str(error))
        sys.exit(1)


@main.command("queue")
@click.argument("action", type=click.Choice([action.value for action in QueueAction]), required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@_url_option
def queue_command(action: str | None, url: str, as_json: bool) -> None:
    """Show how many calls wait, by priority and state.

    `pause` first: workers get no calls until `resume`; what runs goes on, and new calls are accepted.
    `head`: show the next 20 calls instead.
    """
    terminal = Terminal()
    try:
        settings = load_settings(os.environ)
        wanted = QueueAction(action) if action else None
        shown = show_queue(_address(url, settings), terminal, wanted, as_json=as_json, token=settings.token)
        asyncio.run(shown)
    except FatalError as error:
        terminal.error(str(error))
        sys.exit(1)


@main.group("tokens")
def tokens_group() -> None:
    """Who may ask: create, list and revoke tokens.

    While there is none, only this machine is served, and needs none. The first one is of scope admin. MILLRACE_TOKEN
    holds the token that all commands here show to the api.
    """


@tokens_group.command("create")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    required=True,
    help="admin: everything. app: everything inside one app. invoke: call one app's functions, follow the calls.",
)
@click.option("--app", "app_name", default=None, metavar="APP", help="The app of scope app or invoke.")
@_url_option
@_database_option
def create_token_command(name: str, scope: str, app_name: str | None, url: str, database: str) -> None:
    """Create a token and print its secret. It is shown this once: keep it.

    NAME says whose it is; it need not be unique.
    """

    async def create(tokens: Tokens, terminal: Terminal) -> None:
        show_created(terminal, await tokens.create(name, Scope(scope), app_name))

    _with_tokens(create, url, database)


@tokens_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@_url_option
@_database_option
def list_tokens_command(url: str, database: str, as_json: bool) -> None:
    """Show all tokens, without their secrets."""

    async def show(tokens: Tokens, terminal: Terminal) -> None:
        show_list(terminal, await tokens.list(), as_json=as_json)

    _with_tokens(show, url, database)


@tokens_group.command("revoke")
@click.argument("token_id", metavar="ID")
@_url_option
@_database_option
def revoke_token_command(token_id: str, url: str, database: str) -> None:
    """Revoke the token of this ID: within seconds it is good for nothing."""

    async def revoke(tokens: Tokens, terminal: Terminal) -> None:
        await tokens.revoke(token_id)
        terminal.line("revoked")

    _with_tokens(revoke, url, database)


def _with_tokens(work: Callable[[Tokens, Terminal], Awaitable[None]], url: str, database: str) -> None:
    """Do *work* on the tokens of the database, or else of the api; exit code 1 with one line when it fails."""

    async def run(settings: Settings) -> None:
        async with open_tokens(_address(url, settings), settings.token, database) as tokens:
            await work(tokens, terminal)

    terminal = Terminal()
    try:
        asyncio.run(run(load_settings(os.environ)))
    except FatalError as error:
        terminal.error(str(error))
        sys.exit(1)


def _address(url: str, settings: Settings) -> str:
    return url or f"http://{reachable_host(settings.host)}:{settings.port}"
