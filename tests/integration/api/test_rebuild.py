"""`millrace queue rebuild`: the whole queue, in order, and the pause; beside live workers; with progress."""

import asyncio
import json
from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api import restoring
from api.handlers import queue
from api.keys import RECONCILER
from common.errors import QueueUnavailableError
from common.models import QueueEntry, new_id
from common.queue.base import Capacity
from common.settings import Settings
from common.store.base import ClaimRequest, Settlement
from deploy.cli.answers import ClientError
from deploy.cli.asking import Api
from deploy.cli.client import Client
from deploy.cli.queue import QueueAction, show_queue
from deploy.cli.terminal import Terminal
from deploy.local import LocalRedis
from tests.integration.api.rounds import stored
from tests.integration.api.served import ROOMY, ServedApi, an_outcome

CALLS = 20_000
FEW = Capacity(slots=10, sync_slots=0, async_slots=10, free_mb=1 << 20, total_mb=1 << 20)

pytestmark = pytest.mark.usefixtures("alone")


def url_of(api: ServedApi) -> str:
    return f"http://127.0.0.1:{api.port}"


async def show(api: ServedApi, *, as_json: bool) -> None:
    """The command."""
    async with Client(url_of(api)) as client:
        await show_queue(Api(client, Terminal()), QueueAction.REBUILD, as_json=as_json)


async def reserve_all(api: ServedApi) -> list[UUID]:
    taken: list[UUID] = []
    while reservations := (await api.queue.reserve(ROOMY, new_id())).reservations:
        taken += [one.id for one in reservations]
    return taken


async def test_after_a_total_loss_the_queue_and_the_pause_are_as_before(
    settings: Settings, own_redis: LocalRedis, admin: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        for number in range(CALLS // 500):
            await stored(api, 400, priority=number % 3)
            await stored(api, 100, priority=number % 3, delay_s=1000)
        assert (await api.post("/v1/queue/pause", {})).status == 200
        await admin.flushall()
        await show(api, as_json=False)
        shown = capsys.readouterr().out
        assert f"{CALLS} calls looked at, {CALLS} were missing and are back" in shown
        assert "paused" in shown
        depth = await api.queue.depth()
        assert (depth.calls, depth.delayed, depth.is_paused) == (CALLS, CALLS // 5, True)
        assert depth.is_conserved
        assert await reserve_all(api) == []
        assert (await api.post("/v1/queue/resume", {})).status == 200
        rows = await api.store.get_database().fetch(
            "SELECT id FROM calls WHERE status = 'queued' ORDER BY priority DESC, order_no"
        )
        assert await reserve_all(api) == [row["id"] for row in rows]
        await show(api, as_json=True)
        rebuilt = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (rebuilt["restored"], rebuilt["is_done"]) == (0, True), "what it has it keeps"


async def work(api: ServedApi) -> None:
    """A worker, until nothing is left."""
    incarnation = new_id()
    await api.store.register_worker(incarnation, "here", 1, 1)
    while reservations := (await api.queue.reserve(FEW, incarnation)).reservations:
        requests = [ClaimRequest(id=one.id, token=one.token) for one in reservations]
        claimed = await api.store.claim(requests, incarnation, 5)
        outcome = an_outcome(b"", b"", well=True)
        await api.store.settle(
            [Settlement(id=one.call.id, token=one.token, outcome=outcome) for one in claimed]
        )
        await api.queue.ack(reservations)


async def test_beside_live_workers_no_call_runs_twice(api: ServedApi) -> None:
    calls = 2000
    await stored(api, calls)
    assert (await api.post("/v1/queue/rebuild", {})).json["restored"] == calls
    workers = [asyncio.create_task(work(api)) for _ in range(4)]
    rebuilds = 0
    while not all(worker.done() for worker in workers):
        assert (await api.post("/v1/queue/rebuild", {})).status == 200
        rebuilds += 1
    await asyncio.gather(*workers)
    assert rebuilds > 1
    await work(api)
    assert (await api.queue.depth()).calls == 0
    rows = await api.store.get_database().fetch("SELECT status, attempt, count(*) FROM calls GROUP BY 1, 2")
    assert [tuple(row) for row in rows] == [("success", 1, calls)]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line is sent at once, and every page is one call."""
    monkeypatch.setattr(queue, "LINE_EVERY_S", 0.001)
    monkeypatch.setattr(restoring, "PAGE_CALLS", 1)


async def test_progress_is_told_line_by_line(api: ServedApi, slow: None) -> None:
    await stored(api, 30)
    lines = [json.loads(line) for line in (await api.post("/v1/queue/rebuild", {})).body.splitlines()]
    assert len(lines) > 1
    assert [line["is_done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    looked = [line["looked"] for line in lines]
    assert looked == sorted(looked)
    assert (lines[-1]["looked"], lines[-1]["restored"]) == (30, 30)


async def test_what_fails_at_once_is_an_answer_of_its_own(settings: Settings, own_redis: LocalRedis) -> None:
    async with ServedApi(replace(settings, redis_url=own_redis.url)) as api:
        await own_redis.stop()
        answer = await api.post("/v1/queue/rebuild", {})
        assert (answer.status, answer.headline) == (503, "Queue is unavailable")


async def test_what_fails_later_is_the_last_line(
    api: ServedApi, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(api, 30)
    push = api.queue.push

    async def fail(page: Sequence[QueueEntry], generation: int | None = None) -> int:
        if page[0].order_no == 20:
            raise QueueUnavailableError
        return await push(page, generation)

    monkeypatch.setattr(api.queue, "push", fail)
    lines = [json.loads(line) for line in (await api.post("/v1/queue/rebuild", {})).body.splitlines()]
    assert len(lines) > 1
    assert not any(line.get("is_done") for line in lines)
    assert lines[-1]["error"]["code"] == "queue_unavailable"
    with pytest.raises(ClientError, match="Queue is unavailable"):
        await show(api, as_json=True)


async def test_a_rebuild_waits_for_its_turn(api: ServedApi, slow: None) -> None:
    await stored(api, 3)
    async with Client(url_of(api)) as client:
        lines = client.lines("POST", "/v1/queue/rebuild")
        async with api.store.take_turn(api.app[RECONCILER]._turn_name):
            assert json.loads(await anext(lines))["looked"] == 0
            assert (await api.queue.depth()).calls == 0
        last = [json.loads(line) async for line in lines][-1]
    assert (last["restored"], last["is_done"]) == (3, True)


async def test_a_rebuild_goes_on_when_its_client_goes_away(api: ServedApi, slow: None) -> None:
    await stored(api, 30)
    async with Client(url_of(api)) as client:
        lines = client.lines("POST", "/v1/queue/rebuild")
        await anext(lines)
        await lines.aclose()  # type: ignore[attr-defined]
    answer = await api.post("/v1/queue/rebuild", {})  # waits for the turn
    last = json.loads(answer.body.splitlines()[-1])
    assert (last["looked"], last["restored"]) == (30, 0)
