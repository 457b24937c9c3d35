"""The demo: calls of different priorities, submitted before a worker with one slot starts, and what became of them.

Fails, with the reason, unless all succeed and ran in the order that priority demands, none before its delay.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from common.errors import FatalError
from deploy.cli.answers import Record
from deploy.cli.client import Client
from deploy.cli.demo_image import make_demo_image
from deploy.cli.keeper import Keeper
from deploy.cli.logs import warnings_of_ours
from deploy.cli.service import Service
from deploy.cli.terminal import Terminal

APP, ROUTE = "demo", "/hello"
FINAL = {"success", "error", "cancelled"}
FINISH_S = 120.0
POLL_S = 0.1


class DemoError(FatalError):
    """The demo did not go as it should."""

    slug = "demo_failed"
    default_message = "The demo failed"


class Greeting(NamedTuple):
    """One call of the demo, in the order of submission."""

    name: str
    priority: int
    delay_s: int = 0


GREETINGS = (
    Greeting("Ada", 0),
    Greeting("Grace", 1),
    Greeting("Edsger", 2),
    Greeting("Barbara", 0),
    Greeting("Donald", 2),
    Greeting("Frances", 1),
    Greeting("Radia", 2, delay_s=4),
)


class Run(NamedTuple):
    """A call that has ended well, with all there is to show of it."""

    record: Record
    started_at: datetime
    completed_at: datetime
    result: str
    log: str


async def run_demo(client: Client, keeper: Keeper, worker: Service, terminal: Terminal, engine: str) -> None:
    """Submit the calls, start *worker*, wait until all ended, show them. *engine* is the engine's socket.

    Raises DemoError or what stopped it.
    """
    terminal.title(f"Demo: {len(GREETINGS)} calls, submitted before the worker starts, run on one slot")
    with terminal.step("image") as show:
        image = await make_demo_image("hello", engine)
        show(image)
    with terminal.step("route", f"/r/{APP}{ROUTE}, type async"):
        route = {
            "path": ROUTE,
            "image": image,
            "type": "async",
            "format": "default",
            "memory": 64,
            "timeout": 30,
        }
        await client.put_route(APP, route)
    with terminal.step("calls") as show:
        ids = [await _submit(client, greeting) for greeting in GREETINGS]
        priorities = " ".join(str(greeting.priority) for greeting in GREETINGS)
        show(f"priorities {priorities}, the last one delayed")
    await keeper.start(worker, f"{worker.url}, one slot", warnings_of_ours)
    with terminal.step("run") as show:
        records = await _await_final(client, ids, show)
    runs = sorted([await _load(client, record) for record in records], key=lambda run: run.started_at)
    _show(terminal, runs)
    _verify(ids, runs)
    terminal.line(f"\n  All {len(runs)} calls succeeded, and started in the order that priority demands.")


async def _submit(client: Client, greeting: Greeting) -> str:
    name, priority, delay_s = greeting
    return await client.submit(APP, ROUTE, name.encode(), priority=priority, delay_s=delay_s)


async def _await_final(client: Client, ids: list[str], show: Callable[[str], None]) -> list[Record]:
    """Poll until all have ended, bounded. Raises DemoError with their states when they don't."""
    records: list[Record] = []
    try:
        async with asyncio.timeout(FINISH_S):
            while True:
                records = [await client.get_call(APP, call_id) for call_id in ids]
                ended = sum(record.status in FINAL for record in records)
                show(f"{ended} of {len(ids)} have ended")
                if ended == len(ids):
                    return records
                if (await client.get_queue_state()).is_paused:
                    raise DemoError("somebody paused the queue, so no call runs: `millrace queue resume`")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        states = ", ".join(record.status for record in records)
        raise DemoError(f"after {FINISH_S:.0f} s not all calls have ended: {states}") from None


async def _load(client: Client, record: Record) -> Run:
    log = await client.get_log(APP, record.id)
    if record.status != "success" or record.started_at is None or record.completed_at is None:
        raise DemoError(
            f"call {record.id} ended as {record.status} ({record.reason}): {record.error}\n    its log: {log!r}"
        )
    result = await client.get_result(APP, record.id)
    return Run(record, record.started_at, record.completed_at, result, log)


def _show(terminal: Terminal, runs: list[Run]) -> None:
    columns = ["call", "priority", "delay", "status", "started_at"]
    rows = [
        [
            run.record.id,
            str(run.record.priority),
            f"{run.record.delay} s" if run.record.delay else "-",
            run.record.status,
            run.started_at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3],
        ]
        for run in runs
    ]
    details = [
        {
            "times": _times(run),
            "result": run.result.strip(),
            "log": run.log.strip(),
            "stats": _stats(run.record),
        }
        for run in runs
    ]
    terminal.line()
    terminal.table(columns, rows, details)


def _times(run: Run) -> str:
    waited_s = (run.started_at - _due_at(run.record)).total_seconds()
    ran_s = (run.completed_at - run.started_at).total_seconds()
    return f"waited {waited_s:.2f} s, ran {ran_s:.2f} s"


def _stats(record: Record) -> str:
    samples = [sample.metrics for sample in record.stats]
    if not samples:
        return "no sample (a short call may end before the first)"
    memory_mb = max(metrics.get("mem_usage", 0) for metrics in samples) / 2**20
    if len(samples) == 1:  # a share of the cpu is of the time between two
        return f"memory {memory_mb:.1f} MiB (1 sample)"
    cpu = max(metrics.get("cpu_total", 0) for metrics in samples)
    return f"memory {memory_mb:.1f} MiB, cpu {cpu} % of a core ({len(samples)} samples)"


def _due_at(record: Record) -> datetime:
    return record.created_at + timedelta(seconds=record.delay)


def _verify(ids: list[str], runs: list[Run]) -> None:
    """Raise DemoError unless the order of starting is the one promised."""
    at_once = [run.record for run in runs if not run.record.delay]
    expected = sorted(at_once, key=lambda record: (-record.priority, ids.index(record.id)))
    if at_once != expected:
        order = ", ".join(f"{record.id} (priority {record.priority})" for record in expected)
        raise DemoError(f"the calls did not start in the order of their priority; that would be {order}")
    for run in runs:
        if run.started_at < _due_at(run.record):
            raise DemoError(f"call {run.record.id} started before its delay had passed")
