"""``python -m tests.load``: benchmarks of Millrace on this machine, bounded in time and traffic."""

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop
from msgspec.structs import replace

from deploy.local import LocalServerError
from tests.load.cold import bench as cold_bench
from tests.load.cold import plan as cold_plan
from tests.load.cold.bench import ColdLoadError
from tests.load.cold.report import markdown as cold_markdown
from tests.load.engine import EngineError
from tests.load.images import ImageError
from tests.load.queue import bench as queue_bench
from tests.load.queue import environments
from tests.load.queue import plan as queue_plan
from tests.load.queue.field import FIELD
from tests.load.queue.plan import RedisKind
from tests.load.queue.programs import ProgramError
from tests.load.queue.report import markdown as queue_markdown
from tests.load.sync import bench as sync_bench
from tests.load.sync import plan as sync_plan
from tests.load.sync.contestant import SyncLoadError
from tests.load.sync.report import markdown as sync_markdown

NAMES = [contestant.name for contestant in FIELD]


QUICK_OPTION = click.option("--quick", is_flag=True, help="Less of everything: for a first look only.")
OUT_OPTION = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here, as JSON."
)
TROUBLE = (EngineError, ImageError, LocalServerError, ProgramError, SyncLoadError, ColdLoadError)

Report = TypeVar("Report")


@click.group()
def main() -> None:
    """Measure Millrace under load."""


@main.command()
@QUICK_OPTION
@OUT_OPTION
@click.option(
    "--clients", type=click.IntRange(1, 16), default=2, show_default=True, help="Processes of each."
)
@click.option("--redis", type=click.Choice(["6.2", "system", "auto"]), default="6.2", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="These beside each other; repeatable.")
def queue(quick: bool, out: Path | None, clients: int, redis: RedisKind, only: tuple[str, ...]) -> None:
    """The MessageQueue at depth, waiting, and beside its peers; prints Markdown."""
    plan = replace(queue_plan.QUICK if quick else queue_plan.DEFAULT, clients=clients, redis=redis)
    _measure(lambda say: queue_bench.run(plan, say, only or queue_bench.EVERYBODY), queue_markdown, out)


@main.command()
@QUICK_OPTION
@OUT_OPTION
@click.option(
    "--only", multiple=True, type=click.Choice(sync_bench.EVERYBODY), help="These alone; repeatable."
)
def sync(quick: bool, out: Path | None, only: tuple[str, ...]) -> None:
    """Hot sync calls beside a bare client and beside the api alone; prints Markdown."""
    plan = sync_plan.QUICK if quick else sync_plan.DEFAULT
    _measure(lambda say: sync_bench.run(plan, say, only or sync_bench.EVERYBODY), sync_markdown, out)


@main.command()
@QUICK_OPTION
@OUT_OPTION
def cold(quick: bool, out: Path | None) -> None:
    """Cold sync calls beside a bare client of the engine; prints Markdown."""
    plan = cold_plan.QUICK if quick else cold_plan.DEFAULT
    _measure(lambda say: cold_bench.run(plan, say), cold_markdown, out)


def _measure(
    run: Callable[[Callable[[str], None]], Coroutine[Any, Any, Report]],
    markdown: Callable[[Report], str],
    out: Path | None,
) -> None:
    """Run a benchmark; its report goes to stdout and, whole, to *out*."""
    began = time.monotonic()

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - began:5.0f} s  {what}", err=True)

    try:
        report = uvloop.run(run(say))
    except TROUBLE as error:
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
