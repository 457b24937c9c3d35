"""The command line `millrace`. Reads the environment once, here, through common.settings; the rest gets values."""

import asyncio
import os
import sys

import click

from common.errors import FatalError
from common.settings import load_settings
from deploy.cli.queue import QueueAction, show_queue
from deploy.cli.service import reachable_host
from deploy.cli.terminal import Terminal
from deploy.cli.up import run_until_signal, up


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
@click.option(
    "--url", default="", help="The api's address; without it, this machine's by MILLRACE_HOST and _PORT."
)
def queue_command(action: str | None, url: str, as_json: bool) -> None:
    """Show how many calls wait, by priority and state.

    `pause` first: workers get no calls until `resume`; what runs goes on, and new calls are accepted.
    `head`: show the next 20 calls instead.
    """
    terminal = Terminal()
    try:
        settings = load_settings(os.environ)
        address = url or f"http://{reachable_host(settings.host)}:{settings.port}"
        wanted = QueueAction(action) if action else None
        asyncio.run(show_queue(address, terminal, wanted, as_json=as_json))
    except FatalError as error:
        terminal.error(str(error))
        sys.exit(1)
