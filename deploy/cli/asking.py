"""What every command that asks an api shares: the api's address, the token, and what becomes of trouble.

Exit codes: 0 it went well; 1 the api refused, or a call failed; 2 the command makes no sense; 3 no api answered;
130 Ctrl-C. Trouble is one line on standard error. The environment is read once for each command, by common.settings.
"""

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from common.errors import FatalError
from common.settings import load_settings
from deploy.cli.address import find_address
from deploy.cli.answers import BadAddressError, UnreachableError
from deploy.cli.client import Client
from deploy.cli.terminal import Terminal, printable

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

P = ParamSpec("P")
Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)

JSON = "as_json"


def _inherited(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """The option's value, or the one that was given further left: before the command, or before its group."""
    key = f"{__name__}.{parameter.name}"
    if value:
        context.meta[key] = value
    return context.meta.get(key, value)


def _url_option(**more: Any) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--url",
        default="",
        callback=_inherited,
        help="The api's address; without it MILLRACE_URL, else this machine's.",
        **more,
    )


def _json_option(**more: Any) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--json",
        JSON,
        is_flag=True,
        callback=_inherited,
        help="The api's own JSON, for scripts.",
        **more,
    )


url_option, json_option = _url_option(), _json_option()
yes_option = click.option("--yes", "is_sure", is_flag=True, help="Don't ask whether it is meant.")


class Commands(click.Group):
    """A group of commands, which takes for them --url and --json, too. Ctrl-C leaves it quietly, wherever it is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for option in (_json_option, _url_option):
            option(expose_value=False)(self)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError for --json before a command that has no such option."""
        name, command, rest = super().resolve_command(ctx, args)
        is_leaf = command is not None and not isinstance(command, click.Group)
        if is_leaf and ctx.meta.get(f"{__name__}.{JSON}") and not _has_json(command):
            raise click.UsageError(f"{name} has no --json", ctx)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            sys.exit(INTERRUPTED)


class Api(NamedTuple):
    """An api to ask, and where to show what it answers."""

    client: Client
    terminal: Terminal


class CallFailedError(FatalError):
    """A call was taken, and failed."""

    slug = "call_failed"
    default_message = "The call failed"


def asks_api(work: Callable[Concatenate[Api, P], Awaitable[None]]) -> Callable[..., None]:
    """Make *work* a command with an option for the api's address."""

    @url_option
    @functools.wraps(work)
    def command(*args: Any, url: str, **options: Any) -> None:
        ask(url, lambda api: work(api, *args, **options))

    return command


def ask(url: str, work: Callable[[Api], Awaitable[None]]) -> None:
    """Do *work* with the api at *url*, else where find_address finds it. Exits when it fails."""
    terminal = Terminal(outlives_reader=False)

    async def run() -> None:
        settings = load_settings(os.environ)
        async with Client(find_address(url, settings), settings.token) as client:
            await work(Api(client, terminal))
            for warning in client.warnings:
                terminal.remark(printable(f"warning: {warning}"))

    with exits_on_trouble(terminal):
        asyncio.run(run())


@contextmanager
def exits_on_trouble(terminal: Terminal) -> Iterator[None]:
    """Say what went wrong in one line, and exit with the code that goes with it."""
    try:
        yield
    except FatalError as error:
        terminal.error(str(error))
        sys.exit(_exit_code(error))
    except UnicodeEncodeError as error:
        terminal.error(f"an argument or setting is no UTF-8: {error.object!r}")
        sys.exit(USAGE)


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask on a terminal, and exit unless the answer is yes. Where nobody can be asked, a command is meant."""
    if is_sure or not _is_terminal():
        return
    if not click.confirm(question, err=True):
        sys.exit(FAILED)


def _has_json(command: click.Command | None) -> bool:
    return command is not None and any(parameter.name == JSON for parameter in command.params)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _exit_code(error: FatalError) -> int:
    if isinstance(error, UnreachableError):
        return UNREACHABLE
    return USAGE if isinstance(error, BadAddressError) else FAILED
