"""`millrace tokens`: create, list and revoke tokens. Prints a secret once and keeps it nowhere."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import click
import msgspec

from common.errors import FatalError
from common.models import Scope
from common.settings import Settings, load_settings
from deploy.cli.address import find_address
from deploy.cli.asking import Commands, exits_on_trouble, json_option, url_option
from deploy.cli.examples import examples
from deploy.cli.terminal import Terminal, utc
from deploy.cli.token_places import Shown, Tokens, open_tokens

_FROM_SETTING, _FROM_STDIN = "MILLRACE_DATABASE_URL", "-"


def _without_password(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse an address with a password: command lines can be read by every user of the machine."""
    if value in ("", _FROM_SETTING, _FROM_STDIN):
        return value
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise click.BadParameter(f"it is no address: {error}") from error
    if parts.scheme not in ("postgres", "postgresql"):
        raise click.BadParameter(
            "it takes postgresql://…, or - for standard input, or nothing and stands last"
        )
    if parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True):
        raise click.BadParameter(
            "a password must not stand on a command line, which every user of this machine can read: "
            f"put the address into {_FROM_SETTING} and say --database alone, or --database - and write it to stdin"
        )
    return value


_database_option = click.option(
    "--database",
    is_flag=False,
    flag_value=_FROM_SETTING,
    default="",
    callback=_without_password,
    metavar="[URL|-]",
    help="Work in the database that MILLRACE_DATABASE_URL (or a URL without a password, or standard input) names, "
    "instead of asking an api: for a first token, or when no valid one is left.",
)


@click.group("tokens", cls=Commands)
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
@url_option
@_database_option
@examples("millrace tokens create ci --scope app --app mine")
def create_token_command(name: str, scope: str, app_name: str | None, url: str, database: str) -> None:
    """Create a token and print its secret. It is shown this once: keep it.

    NAME says whose it is; it need not be unique.
    """

    async def create(tokens: Tokens, terminal: Terminal) -> None:
        _show_created(terminal, await tokens.create(name, Scope(scope), app_name))

    _with_tokens(create, url, database)


@tokens_group.command("list")
@json_option
@url_option
@_database_option
@examples("millrace tokens list")
def list_tokens_command(url: str, database: str, as_json: bool) -> None:
    """Show all tokens, without their secrets."""

    async def show(tokens: Tokens, terminal: Terminal) -> None:
        _show_list(terminal, await tokens.list(), as_json=as_json)

    _with_tokens(show, url, database)


@tokens_group.command("revoke")
@click.argument("token_id", metavar="ID")
@url_option
@_database_option
@examples("millrace tokens revoke $TOKEN_ID")
def revoke_token_command(token_id: str, url: str, database: str) -> None:
    """Revoke the token of this ID: within seconds it is good for nothing."""

    async def revoke(tokens: Tokens, terminal: Terminal) -> None:
        await tokens.revoke(token_id)
        terminal.line("revoked")

    _with_tokens(revoke, url, database)


def _with_tokens(work: Callable[[Tokens, Terminal], Awaitable[None]], url: str, database: str) -> None:
    """Do *work* on the tokens of the database, or else of the api. Exits when it fails."""

    async def run(settings: Settings, where: str) -> None:
        async with open_tokens(find_address(url, settings), settings.token, where) as tokens:
            await work(tokens, terminal)

    terminal = Terminal(outlives_reader=False)
    with exits_on_trouble(terminal):
        settings = load_settings(os.environ)
        asyncio.run(run(settings, _database(database, settings)))


def _database(given: str, settings: Settings) -> str:
    """The address that --database means; empty without it. Raises FatalError if there is none."""
    if given == _FROM_STDIN:
        given = sys.stdin.readline().strip()
        if not given:
            raise FatalError("--database -: there is no address on standard input")
    elif given == _FROM_SETTING:
        given = settings.database_url
        if not given:
            raise FatalError(f"--database: {_FROM_SETTING} is not set, so there is no database to work in")
    return given


def _show_created(terminal: Terminal, created: Shown) -> None:
    """The secret alone on standard output: a script takes it from there."""
    terminal.line(created.token)


def _show_list(terminal: Terminal, tokens: list[Shown], *, as_json: bool) -> None:
    """A table or JSON, the oldest first."""
    if as_json:
        terminal.line(msgspec.json.encode({"tokens": tokens}).decode())
        return
    rows = [
        [
            str(token.id),
            token.name,
            token.scope,
            token.app or "-",
            utc(token.created_at),
        ]
        for token in tokens
    ]
    terminal.table(["token", "name", "scope", "app", "created (UTC)"], rows)
