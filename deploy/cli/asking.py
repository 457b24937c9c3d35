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
from typing import Any, Concatenate, NamedTuple, ParamSpec

import click

from common.errors import FatalError
from common.settings import Settings, load_settings
from deploy.cli.answers import BadAddressError, UnreachableError
from deploy.cli.client import Client
from deploy.cli.service import reachable_host
from deploy.cli.terminal import Terminal

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

P = ParamSpec("P")

url_option = click.option(
    "--url",
    default="",
    help="The api's address; without it, this machine's by MILLRACE_HOST and _PORT.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="The api's own JSON, for scripts.")
yes_option = click.option("--yes", "is_sure", is_flag=True, help="Don't ask whether it is meant.")


class Commands(click.Group):
    """The whole command line: Ctrl-C leaves it quietly, wherever it is."""

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
    """Do *work* with the api at *url*, else at the group's, else at this machine's. Exits when it fails."""
    terminal = Terminal(outlives_reader=False)

    async def run() -> None:
        settings = load_settings(os.environ)
        async with Client(address(url, settings), settings.token) as client:
            await work(Api(client, terminal))

    with exits_on_trouble(terminal):
        asyncio.run(run())


def address(url: str, settings: Settings) -> str:
    """Where the api is: at *url*, else where the whole command line says, else where the settings let it listen."""
    context = click.get_current_context(silent=True)
    given = url or (context.find_root().params.get("url", "") if context else "")
    return given or f"http://{reachable_host(settings.host)}:{settings.port}"


@contextmanager
def exits_on_trouble(terminal: Terminal) -> Iterator[None]:
    """Say what went wrong in one line, and exit with the code that goes with it."""
    try:
        yield
    except FatalError as error:
        terminal.error(str(error))
        sys.exit(_exit_code(error))


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask on a terminal, and exit unless the answer is yes. Where nobody can be asked, a command is meant."""
    if is_sure or not _is_terminal():
        return
    if not click.confirm(question, err=True):
        sys.exit(FAILED)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _exit_code(error: FatalError) -> int:
    if isinstance(error, UnreachableError):
        return UNREACHABLE
    return USAGE if isinstance(error, BadAddressError) else FAILED
