"""One run: everything in turns on one machine, each second round backwards, one report.

Everything it starts, it stops; its data is gone afterwards.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from msgspec import Struct

from tests.load.engine import Engine
from tests.load.images import echo_image
from tests.load.machine import Machine, describe
from tests.load.stand import Stand, bare_config
from tests.load.sync.bare import Bare
from tests.load.sync.contestant import Contestant, measure
from tests.load.sync.figures import Figures, Line, median_of
from tests.load.sync.plan import CONNECTIONS, Plan
from tests.load.sync.served import Ceiling, Sync
from tests.load.sync.targets import judge
from tests.load.sync.wrk import wrk_version
from tests.load.target import Target

EVERYBODY = ("bare", "sync", "ceiling")
NETWORK = "none"  # a function that stays does not notice


class Report(Struct, frozen=True, kw_only=True):
    """All of one run. ``programs``: what was used, with versions."""

    machine: Machine
    plan: Plan
    programs: dict[str, str]
    lines: list[Line]
    targets: list[Target]


async def run(plan: Plan, say: Callable[[str], None], names: Sequence[str] = EVERYBODY) -> Report:
    """Measure those of *names* by *plan*.

    Raises EngineError, ImageError, LocalServerError or SyncLoadError: figures of a part of it would mislead."""
    machine = await describe(("aiohttp", "redis", "hiredis", "uvloop"))
    programs = {"wrk": await wrk_version()} if set(names) - {"bare"} else {}
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine.open())
        programs["Docker Engine"] = await engine.version()
        field = await _open(stack, engine, names, say)
        rounds: dict[str, list[Figures]] = {contestant.name: [] for contestant in field}
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            for contestant in field if number % 2 == 0 else reversed(field):
                rounds[contestant.name].append(await measure(contestant, plan.warm_up_s, plan.measure_s))
    lines = [_line(contestant, rounds[contestant.name]) for contestant in field]
    return Report(machine=machine, plan=plan, programs=programs, lines=lines, targets=judge(lines))


async def _open(
    stack: AsyncExitStack, engine: Engine, names: Sequence[str], say: Callable[[str], None]
) -> list[Contestant]:
    image = await echo_image(engine)
    field: list[Contestant] = []
    if "bare" in names:
        say("starting the bare client's containers")
        config = await bare_config(engine, image, NETWORK)
        field += [
            await stack.enter_async_context(Bare.open(engine, config, count)) for count in (1, CONNECTIONS)
        ]
    if set(names) - {"bare"}:
        say("starting Postgres and Redis")
        stand = await stack.enter_async_context(Stand.open())
        say("starting api and worker")
        if "sync" in names:
            field.append(await stack.enter_async_context(Sync.open(stand, engine, image, NETWORK)))
        if "ceiling" in names:
            field.append(await stack.enter_async_context(Ceiling.open(stand, image)))
    return field


def _line(contestant: Contestant, rounds: list[Figures]) -> Line:
    return Line(
        name=contestant.name,
        title=contestant.title,
        connections=contestant.connections,
        figures=median_of(rounds),
        rounds=[each.per_s for each in rounds],
    )
