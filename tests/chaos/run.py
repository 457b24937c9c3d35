"""The kill loop: load on a whole cluster while one process a second is killed; then everything is checked."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tests.chaos.agreement import disagreements, settled
from tests.chaos.checker import Finding, check, restarts_s
from tests.chaos.client import Client
from tests.chaos.cluster import Cluster, Plan
from tests.chaos.figures import Figures, figures_of
from tests.chaos.history import History
from tests.chaos.killer import Killer
from tests.chaos.load import Load, Shape
from tests.chaos.servers import open_servers
from tests.chaos.singles import kill_singly
from tests.load.engine import SOCKET, Engine
from tests.load.images import compiled

FUNCTION = Path(__file__).with_name("function.c")
Say = Callable[[str], None]


class KillPlan(Struct, frozen=True, kw_only=True):
    """``singles``: kills of one child at a time that come before the loop, to see how soon calls begin again.

    ``seconds``: after which no more calls are submitted, though ``shape`` has more; None: only its number counts.
    """

    cluster: Plan
    shape: Shape
    seconds: float | None = None
    kill_every_s: float = 1.0
    singles: int = 0
    seed: int | None = None


class Report(Struct, frozen=True, kw_only=True):
    """``lasted_s``: of the loop, to the end of its last call. ``agreement``: what does not agree at the end.

    ``singles_s``: how long after the single kills calls began again, shortest first.
    """

    plan: KillPlan
    lasted_s: float
    figures: Figures
    singles_s: list[float]
    findings: list[Finding]
    agreement: list[str]

    @property
    def is_clean(self) -> bool:
        return not self.findings and not self.agreement


async def function_image(socket: str = SOCKET) -> str:
    """The image of the tests' function on that engine. Raises ImageError without gcc, EngineError without an engine."""
    async with Engine.open(socket) as engine:
        return await compiled(engine, "millrace-test/chaos", FUNCTION)


async def run(plan: KillPlan, say: Say, keep: Path | None = None) -> Report:
    """One run on servers of its own, of which nothing stays but what is written to the folder *keep*."""
    image = await function_image(plan.cluster.socket)
    async with open_servers() as servers:
        addresses, directory = await servers.addresses(), servers.new_directory()
        async with Cluster.open(plan.cluster, addresses, directory, image) as cluster:
            say("the cluster is ready")
            try:
                return await kill_loop(plan, cluster, say)
            finally:
                if keep is not None:
                    cluster.keep(keep)


async def kill_loop(plan: KillPlan, cluster: Cluster, say: Say) -> Report:
    """Load the cluster and kill its processes; it is stopped at the end."""
    loop = asyncio.get_running_loop()
    singles = await _singles(cluster, plan.singles, say)
    history = cluster.witness.history = History()
    await cluster.audit.forget()
    began_s = loop.time()
    load, killer = Load(cluster, history, plan.shape, plan.seed or 0), Killer(cluster, history, plan.seed)
    killing = asyncio.create_task(killer.kill_forever(plan.kill_every_s))
    if plan.seconds is not None:
        loop.call_later(plan.seconds, load.stop.set)
    telling = asyncio.create_task(_tell(load, say))
    try:
        await load.run()
    finally:
        for task in (killing, telling):
            task.cancel()
        await asyncio.gather(killing, telling, return_exceptions=True)
    lasted_s = loop.time() - began_s
    say(f"{load.accepted} calls accepted and seen to end; no more kills")
    agreement = await conclude(cluster, history)
    return Report(
        plan=plan,
        lasted_s=lasted_s,
        figures=figures_of(history),
        singles_s=restarts_s(singles),
        findings=check(history) + check(singles),
        agreement=agreement,
    )


async def _singles(cluster: Cluster, times: int, say: Say) -> History:
    history = cluster.witness.history
    if times:
        await kill_singly(cluster, history, times)
        await gather(cluster, history)
        say(f"{times} single kills done")
    return history


async def conclude(cluster: Cluster, history: History) -> list[str]:
    """Let everything settle, look at all of it, stop all processes; what does not agree then."""
    await gather(cluster, history)
    codes = await cluster.stop()
    ended_badly = [f"{name} ended with {code}" for name, code in codes.items() if code != 0]
    return ended_badly + await disagreements(cluster)


async def gather(cluster: Cluster, history: History) -> None:
    """Let everything settle; then see all calls once more, as clients and in the database."""
    await cluster.ready()
    await settled(cluster)
    await Client(0, cluster.http, cluster.urls, history).look_again()
    history.events += await cluster.audit.changes()
    history.rows = {row.call_id: row for row in await cluster.audit.rows()}


async def _tell(load: Load, say: Say) -> None:
    while True:
        await asyncio.sleep(10)
        say(f"{load.accepted} calls accepted")
