"""`millrace workers`: who is there to run calls, and what each one runs."""

from datetime import UTC, datetime

import click
import msgspec

from deploy.cli.answers import decode
from deploy.cli.asking import Api, asks_api, json_option
from deploy.cli.examples import examples
from deploy.cli.terminal import utc


class Running(msgspec.Struct):
    """An async call that a worker runs."""

    id: str
    app_name: str
    path: str
    attempt: int
    claimed_at: datetime | None = None
    started_at: datetime | None = None


class Worker(msgspec.Struct):
    """One start of a worker."""

    incarnation: str
    host: str
    slots: int
    memory_mb: int
    started_at: datetime
    heartbeat_at: datetime
    is_live: bool
    network: str = ""
    network_problem: str = ""
    memory_problem: str = ""
    state: str = ""
    running: list[Running] = []


class _Workers(msgspec.Struct):
    workers: list[Worker]


@click.command("workers")
@json_option
@asks_api
@examples("millrace workers")
async def workers_command(api: Api, as_json: bool) -> None:
    """Show all workers, live ones first, and the async calls that each one runs."""
    answer = await api.client.ask("GET", "/v1/workers")
    if as_json:
        api.terminal.data(answer)
        return
    columns = ("worker", "host", "state", "slots", "memory", "network", "started (UTC)", "heard of")
    workers = decode(answer, _Workers).workers
    api.terminal.table(columns, [_row(worker) for worker in workers])
    for worker in workers:
        if worker.is_live and worker.network_problem:
            api.terminal.note(f"{worker.host}: functions can reach this machine: {worker.network_problem}")
        if worker.is_live and worker.memory_problem:
            api.terminal.note(f"{worker.host}: memory may run out: {worker.memory_problem}")
    if any(worker.running for worker in workers):
        api.terminal.line()
        calls = [_running_row(worker, call) for worker in workers for call in worker.running]
        api.terminal.table(("runs call", "of", "attempt", "claimed (UTC)", "by worker"), calls)


def _row(worker: Worker) -> list[str]:
    heard_s = (datetime.now(UTC) - worker.heartbeat_at).total_seconds()
    return [
        *(worker.incarnation, worker.host, worker.state or ("live" if worker.is_live else "lost")),
        *(str(worker.slots), f"{worker.memory_mb} MB", worker.network, utc(worker.started_at)),
        f"{max(heard_s, 0):.0f} s ago",
    ]


def _running_row(worker: Worker, call: Running) -> list[str]:
    return [
        *(call.id, f"{call.app_name}{call.path}", str(call.attempt)),
        *(utc(call.claimed_at), worker.incarnation),
    ]
