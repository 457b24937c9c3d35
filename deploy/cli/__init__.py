"""The command line `millrace`: its commands, each in a module of its own."""

import asyncio
import os
import sys
from functools import partial

import click

from common.settings import load_settings
from deploy.cli.apps import apps_group
from deploy.cli.asking import Commands, exits_on_trouble
from deploy.cli.call import call_command
from deploy.cli.calls import calls_group, logs_command
from deploy.cli.completion import completion_command
from deploy.cli.dead import dead_group
from deploy.cli.examples import examples
from deploy.cli.processes import api_command, worker_command
from deploy.cli.queue import queue_command
from deploy.cli.routes import routes_group
from deploy.cli.terminal import Terminal, use_color
from deploy.cli.tokens import tokens_group
from deploy.cli.up import run_until_signal, up
from deploy.cli.workers import workers_command


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(package_name="millrace")
@click.pass_context
@examples(
    "millrace routes create mine /upper me/upper:1 --type async",
    "millrace call mine /upper --data 'some text' --wait",
    "millrace calls list mine",
)
def main(context: click.Context) -> None:
    """Millrace runs function calls in containers.

    All commands but `up`, `api`, `worker` and `completion` ask a running api: the one at --url or MILLRACE_URL, else
    this machine's. They send it the token in MILLRACE_TOKEN. With --json they print what it answers.

    Exit codes: 0 well, 1 refused or failed, 2 no such command, option or address, 3 no api answered, 130 Ctrl-C.
    """
    use_color(context, os.environ)


@main.command("up")
@click.option(
    "--demo", is_flag=True, help="At the first start, with no app yet: show it at work with a few calls."
)
@click.option("--once", is_flag=True, help="Stop everything once it is ready (and the demo has run).")
@examples("millrace up --demo --once")
def up_command(demo: bool, once: bool) -> None:
    """Run everything on this machine: Postgres, Redis, the api and one worker.

    MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL name servers to use instead of those started here.
    Ctrl-C stops it all in order; accepted calls are kept and run after the next start. Before it is ready
    that is exit code 130.
    """
    terminal = Terminal()
    with exits_on_trouble(terminal):
        settings = load_settings(os.environ)
        run = partial(up, settings, os.environ, terminal, demo=demo, once=once)
        sys.exit(asyncio.run(run_until_signal(run, terminal)))


main.add_command(apps_group)
main.add_command(routes_group)
main.add_command(call_command)
main.add_command(calls_group)
main.add_command(logs_command)
main.add_command(queue_command)
main.add_command(dead_group)
main.add_command(workers_command)
main.add_command(tokens_group)
main.add_command(api_command)
main.add_command(worker_command)
main.add_command(completion_command)
