"""/v1/workers and /stats over HTTP."""

import asyncio

import pytest

from api import call_counts
from api.handlers import overview
from api.keys import COUNTER
from common.errors import StoreUnavailableError
from common.models import new_id
from common.store.base import ClaimRequest
from common.store.steering import CallCounts
from tests.integration.api.served import ROOMY, ServedApi

NOTHING = {"Queue": 0, "Running": 0, "Complete": 0, "Failed": 0, "Cancelled": 0}


async def test_workers_are_shown_with_what_they_run(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await api.get("/v1/workers")).json == {"workers": []}
    path = await api.create_route()
    call_ids = [await api.submit(path) for _ in range(3)]
    busy, idle = new_id(), new_id()
    await api.store.register_worker(busy, "here", 4, 2048)
    reservations = (await api.queue.reserve(ROOMY, busy)).reservations
    await api.store.claim([ClaimRequest(id=one.id, token=one.token) for one in reservations], busy, 5)
    await api.store.register_worker(idle, "there", 2, 1024)
    monkeypatch.setattr(overview, "MAX_RUNNING", 2)
    first, second = (await api.get("/v1/workers")).json["workers"]
    assert first == {
        "incarnation": str(idle),
        "host": "there",
        "slots": 2,
        "memory_mb": 1024,
        "network": "",
        "started_at": first["started_at"],
        "heartbeat_at": first["heartbeat_at"],
        "is_live": True,
        "state": "live",
        "running": [],
    }
    assert (second["incarnation"], [call["id"] for call in second["running"]]) == (str(busy), call_ids[:2])
    call = second["running"][0]
    assert call == {
        "id": call_ids[0],
        "app_name": "app",
        "path": "/hello",
        "attempt": 1,
        "claimed_at": call["claimed_at"],
    }


async def test_stats_are_fns_by_app_and_path(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_counts, "PAUSE_S", 0)
    monkeypatch.setattr(call_counts, "REST_PER_COUNT", 0)
    assert (await api.get("/stats")).json == {**NOTHING, "FunctionStatsMap": {}}
    for app, path in (("app", "/hello"), ("other", "/hello"), ("other", "/")):
        await api.submit(await api.create_route(app, path=path))
    await api.finish_all()
    failed = await api.submit("/r/app/hello")
    await api.finish(failed, well=False)
    cancelled = await api.submit("/r/app/hello")
    await api.ask("DELETE", f"/v1/apps/app/calls/{cancelled}")
    assert (await api.get("/stats")).json == {
        "Queue": 3,
        "Running": 0,
        "Complete": 0,
        "Failed": 1,
        "Cancelled": 1,
        "FunctionStatsMap": {
            "app/hello": {"Queue": 1, "Running": 0, "Complete": 0, "Failed": 1, "Cancelled": 1},
            "other/": NOTHING | {"Queue": 1},
            "other/hello": NOTHING | {"Queue": 1},
        },
    }


async def test_calls_are_counted_once_for_all_who_ask_and_seldom(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, go_on, counts = asyncio.Event(), asyncio.Event(), []
    count_calls = api.store.count_calls

    async def slowly(limit: int) -> CallCounts:
        counts.append(limit)
        counting.set()
        await go_on.wait()
        return await count_calls(limit)

    monkeypatch.setattr(api.store, "count_calls", slowly)
    asking = [asyncio.create_task(api.get("/stats")) for _ in range(5)]
    await counting.wait()
    go_on.set()
    assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
    await api.submit(await api.create_route())
    assert (await api.get("/stats")).json["Queue"] == 0
    assert len(counts) == 1
    counter = api.app[COUNTER]
    counter._next_at_s = 0
    assert (await api.get("/stats")).json["Queue"] == 1


async def test_a_count_that_fails_is_not_repeated_at_once(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    async def away(limit: int) -> CallCounts:
        counts.append(limit)
        raise StoreUnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(api.store, "count_calls", away)
        for _ in range(3):
            assert (await api.get("/stats")).status == 503
    assert len(counts) == 1
    api.app[COUNTER]._next_at_s = 0
    assert (await api.get("/stats")).status == 200
