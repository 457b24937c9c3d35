"""/v1/workers and /stats: what runs where, and how many calls there are."""

from typing import Any

from aiohttp import web

from api.keys import COUNTER, STORE
from api.schemas import json_response, timestamp
from common.store.steering import Counts, KnownWorker, RunningCall

MAX_WORKERS = 1000
MAX_RUNNING = 100  # shown of each worker


async def list_workers(request: web.Request) -> web.Response:
    """Every incarnation that is known, live ones first, with the async calls that it runs, 100 at most."""
    workers = await request.app[STORE].get_workers(MAX_WORKERS, MAX_RUNNING)
    return json_response({"workers": [_worker_json(worker) for worker in workers]})


async def get_stats(request: web.Request) -> web.Response:
    """Fn v1's counts, of the calls that are stored; of each path by the app's name and the path, ``app/path``."""
    counts = await request.app[COUNTER].counts()
    by_path = {
        f"{app_name}{path}": _counts_json(of_path) for (app_name, path), of_path in counts.by_path.items()
    }
    return json_response(_counts_json(counts.all) | {"FunctionStatsMap": by_path})


def _worker_json(worker: KnownWorker) -> dict[str, Any]:
    return {
        "incarnation": worker.incarnation,
        "host": worker.host,
        "slots": worker.slots,
        "memory_mb": worker.memory_mb,
        "started_at": timestamp(worker.started_at),
        "heartbeat_at": timestamp(worker.heartbeat_at),
        "is_live": worker.is_live,
        "running": [_running_json(call) for call in worker.running],
    }


def _running_json(call: RunningCall) -> dict[str, Any]:
    times = {"claimed_at": call.claimed_at, "started_at": call.started_at}
    return {
        "id": call.id,
        "app_name": call.app_name,
        "path": call.path,
        "attempt": call.attempt,
        **{name: timestamp(instant) for name, instant in times.items() if instant is not None},
    }


def _counts_json(counts: Counts) -> dict[str, Any]:
    return {
        "Queue": counts.queued,
        "Running": counts.running,
        "Complete": counts.succeeded,
        "Failed": counts.failed,
        "Cancelled": counts.cancelled,
    }
