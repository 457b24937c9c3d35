"""``python -m tests.load``: benchmarks of Millrace on this machine, bounded in time and traffic."""

import time
from pathlib import Path

import click
import msgspec
import uvloop
from msgspec.structs import replace

from deploy.local import LocalServerError
from tests.load.queue import bench, environments
from tests.load.queue.field import FIELD
from tests.load.queue.plan import DEFAULT, QUICK, RedisKind
from tests.load.queue.programs import ProgramError
from tests.load.queue.report import markdown

NAMES = [contestant.name for contestant in FIELD]


@click.group()
def main() -> None:
    """Measure Millrace under load."""


@main.command()
@click.option("--quick", is_flag=True, help="Less of everything, in under a minute: for a first look only.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here, as JSON."
)
@click.option(
    "--clients", type=click.IntRange(1, 16), default=2, show_default=True, help="Processes of each."
)
@click.option("--redis", type=click.Choice(["6.2", "system", "auto"]), default="6.2", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="These beside each other; repeatable.")
def queue(quick: bool, out: Path | None, clients: int, redis: RedisKind, only: tuple[str, ...]) -> None:
    """The MessageQueue at depth, waiting, and beside its peers; prints Markdown."""
    plan = replace(QUICK if quick else DEFAULT, clients=clients, redis=redis)
    began = time.monotonic()

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - began:5.0f} s  {what}", err=True)

    try:
        report = uvloop.run(bench.run(plan, say, only or bench.EVERYBODY))
    except (LocalServerError, ProgramError) as error:
        raise click.ClickException(str(error)) from error
    say("done")
    click.echo(markdown(report), nl=False)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


@main.command()
def peers() -> None:
    """Install what the queue is measured beside, each in an environment of its own under .venv-load."""
    for name in dict.fromkeys(contestant.environment for contestant in FIELD if contestant.environment):
        click.echo(f"{environments.HOME / name}", err=True)
        try:
            uvloop.run(environments.make(name))
        except ProgramError as error:
            raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
