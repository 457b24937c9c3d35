"""`millrace api` and `millrace worker`: one process on servers of your own, as `python -m api` and `-m worker` are."""

import os
import sys

import click

from deploy.cli.examples import examples


@click.command("api")
@examples("millrace api")
def api_command() -> None:
    """Run an api on the servers that MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL name.

    SIGTERM ends it in order. Exit codes: 0 after SIGTERM or Ctrl-C, 2 for bad settings, 1 for other trouble.
    """
    _become("api")


@click.command("worker")
@examples("millrace worker")
def worker_command() -> None:
    """Run a worker on the servers that MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL name, and on this Docker Engine.

    SIGTERM drains it. Exit codes: 0 after an orderly stop, 2 for what makes running pointless, 1 for a forced stop.
    """
    _become("worker")


def _become(module: str) -> None:
    """Replace this process by the module's. Safe path (-P): a folder of that name in the current one is not taken."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606  (no shell is wanted)
