"""/v1/workers and /stats: what runs where, and how many calls there are."""

from aiohttp import web
from msgspec import UNSET

from api.keys import COUNTER, STORE
from api.overviews import CallCounts, RunningCall, Stats, Worker, WorkerList
from api.schemas import json_response, optional_timestamp, timestamp
from common.store import steering

MAX_WORKERS = 1000
MAX_RUNNING = 100  # shown of each worker


async def list_workers(request: web.Request) -> web.Response:
    """Every incarnation that is known, live ones first, with the async calls that it runs, 100 at most."""
    workers = await request.app[STORE].get_workers(MAX_WORKERS, MAX_RUNNING)
    return json_response(WorkerList(workers=[_worker(known) for known in workers]))


async def get_stats(request: web.Request) -> web.Response:
    """Fn v1's counts, of the calls that are stored; of each path by the app's name and the path, ``app/path``."""
    counts = await request.app[COUNTER].counts()
    by_path = {
        f"{app_name}{path}": CallCounts(**_counted(of_path))
        for (app_name, path), of_path in counts.by_path.items()
    }
    return json_response(Stats(**_counted(counts.all), function_stats_map=by_path))


def _worker(known: steering.KnownWorker) -> Worker:
    return Worker(
        incarnation=known.incarnation,
        host=known.host,
        slots=known.slots,
        memory_mb=known.memory_mb,
        memory_problem=known.memory_problem or UNSET,
        network=known.network,
        network_problem=known.network_problem or UNSET,
        started_at=timestamp(known.started_at),
        heartbeat_at=timestamp(known.heartbeat_at),
        is_live=known.state == "live",
        state=known.state,
        running=[_running(call) for call in known.running],
    )


def _running(call: steering.RunningCall) -> RunningCall:
    return RunningCall(
        id=call.id,
        app_name=call.app_name,
        path=call.path,
        attempt=call.attempt,
        claimed_at=optional_timestamp(call.claimed_at),
        started_at=optional_timestamp(call.started_at),
    )


def _counted(counts: steering.Counts) -> dict[str, int]:
    return {
        "queue": counts.queued,
        "running": counts.running,
        "complete": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }
