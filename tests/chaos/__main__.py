"""``python -m tests.chaos``: a run of the kill loop on this machine; prints Markdown. Exit code 1: it found trouble."""

import sys
import time
from pathlib import Path

import click
import msgspec
import uvloop

from deploy.local import LocalServerError
from tests.chaos.cluster import Plan
from tests.chaos.load import Shape
from tests.chaos.report import markdown
from tests.chaos.run import KillPlan, run
from tests.load.engine import EngineError
from tests.load.images import ImageError

TROUBLE = (EngineError, ImageError, LocalServerError)


@click.command()
@click.option("--calls", type=click.IntRange(1), default=10_000, show_default=True, help="Calls to submit.")
@click.option("--minutes", type=float, help="Submit no more after that time, however few calls it were.")
@click.option("--per-second", type=float, default=25, show_default=True, help="Calls submitted a second.")
@click.option("--workers", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--apis", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--kill-every", type=float, default=1.0, show_default=True, help="Seconds between two kills.")
@click.option(
    "--singles", type=click.IntRange(0), default=20, show_default=True, help="Single kills, before."
)
@click.option("--seed", type=int, help="Of the choice of victims.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write history, logs and figures here."
)
def main(
    calls: int,
    minutes: float | None,
    per_second: float,
    workers: int,
    apis: int,
    kill_every: float,
    singles: int,
    seed: int | None,
    out: Path | None,
) -> None:
    """Kill one process a second under load; tell what was lost."""
    plan = KillPlan(
        cluster=Plan(apis=apis, workers=workers),
        shape=Shape(calls=calls, per_s=per_second, sync_share=0.05),
        seconds=minutes * 60 if minutes else None,
        kill_every_s=kill_every,
        singles=singles,
        seed=seed,
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - began:5.0f} s  {what}", err=True)

    try:
        report = uvloop.run(run(plan, say, out))
    except TROUBLE as error:
        raise click.ClickException(str(error)) from error
    click.echo(markdown(report), nl=False)
    if out is not None:
        (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    sys.exit(0 if report.is_clean else 1)


if __name__ == "__main__":
    main()
