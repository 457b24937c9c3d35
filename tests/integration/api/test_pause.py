"""Pause, resume and the head of the queue over HTTP, and that Redis's mark follows the store's whatever happens."""

import asyncio
import json
import time

import pytest
from msgspec.structs import replace

from common.models import QueueEntry, SyncTicket, new_id
from common.settings import Settings
from deploy.cli.asking import Api
from deploy.cli.client import Client
from deploy.cli.queue import QueueAction, show_queue
from deploy.cli.terminal import Terminal
from deploy.local import LocalRedis
from tests.integration.api.served import ServedApi
from tests.integration.api.stand_in import StandIn, ended
from tests.polling import eventually


async def test_a_paused_queue_takes_calls_and_hands_out_none_until_it_is_resumed(api: ServedApi) -> None:
    path = await api.create_route()
    for _ in range(2):
        answer = await api.ask("POST", "/v1/queue/pause")
        assert (answer.status, answer.json["is_paused"]) == (200, True)
    call_id = await api.submit(path)
    assert await api.claim() == []
    answer = await api.get("/v1/queue")
    assert (answer.json["is_paused"], answer.json["calls"]) == (True, 1)
    for _ in range(2):
        assert (await api.ask("POST", "/v1/queue/resume")).json == answer.json | {
            "is_paused": False,
            "oldest_ready_ms": pytest.approx(answer.json["oldest_ready_ms"], abs=10_000),
        }
    assert [str(one.call.id) for one in await api.claim()] == [call_id]


async def test_sync_calls_are_refused_at_once_while_paused(api: ServedApi, settings: Settings) -> None:
    """Those that wait too, of any api process; one that runs goes on."""
    worker = StandIn(api.queue)
    path = await api.create_route(type="sync")
    running = asyncio.create_task(api.ask("POST", path))
    taken = await worker.take()
    async with ServedApi(settings) as other:
        waiting = [asyncio.create_task(one.ask("POST", path)) for one in (api, other)]

        async def both_wait() -> bool:
            return (await api.queue.depth()).ready_sync == 2

        await eventually(both_wait)
        begun_s = time.monotonic()
        await other.ask("POST", "/v1/queue/pause")
        waited = [await one for one in waiting]
        refused = await api.ask("POST", path)
        assert time.monotonic() - begun_s < 5, "half of the timeout is 15 s"
        for answer in (*waited, refused):
            assert (answer.status, answer.json["error"]["code"]) == (503, "queue_paused")
            assert answer.headers["Retry-After"] == "15"
        call_id = waited[0].headers["Fn_call_id"]
        record = (await other.get(f"/v1/apps/app/calls/{call_id}")).json["call"]
        assert (record["status"], record["detail"], record["attempt"]) == ("error", "queue_paused", 0)
    assert (await api.ask("POST", path, headers={"Prefer": "respond-async"})).status == 202
    await worker.reply(taken, ended())
    assert (await running).status == 200
    await api.ask("POST", "/v1/queue/resume")
    answering = asyncio.create_task(api.ask("POST", path))
    await worker.answer_next()
    assert (await answering).status == 200


async def test_a_pause_without_redis_is_refused_kept_and_done_once_it_is_back(
    settings: Settings, own_redis: LocalRedis
) -> None:
    settings = replace(settings, redis_url=own_redis.url, reconcile_interval_s=0.3)
    async with ServedApi(settings) as api:
        await own_redis.stop()
        answer = await api.ask("POST", "/v1/queue/pause")
        assert (answer.status, answer.headline) == (503, "Queue is unavailable")
        await own_redis.start()

        async def is_paused() -> bool:
            return bool((await api.get("/v1/queue")).json.get("is_paused"))

        await eventually(is_paused, timeout_s=20)


async def test_redis_follows_the_store_after_a_failover_that_lost_the_change(settings: Settings) -> None:
    async with ServedApi(replace(settings, reconcile_interval_s=0.2)) as api:

        async def is_paused() -> bool:
            return (await api.queue.depth()).is_paused

        async def is_running() -> bool:
            return not await is_paused()

        await api.ask("POST", "/v1/queue/pause")
        await api.queue.resume()
        await eventually(is_paused)
        await api.ask("POST", "/v1/queue/resume")
        await api.queue.pause()
        await eventually(is_running)


async def test_whoever_is_last_at_the_store_wins_also_if_first_at_the_queue(
    api: ServedApi, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = api.queue.pause

    async def overtaken() -> None:
        await api.store.resume_queue(settings.queue_name)
        await api.queue.resume()
        await pause()

    monkeypatch.setattr(api.queue, "pause", overtaken)
    answer = await api.ask("POST", "/v1/queue/pause")
    assert (answer.status, answer.json["is_paused"]) == (200, False)

    async def is_running() -> bool:
        return not (await api.queue.depth()).is_paused

    # The reconciler may have been overtaken likewise; it, too, looks again.
    await eventually(is_running)


async def test_the_head_is_what_workers_get_next(api: ServedApi) -> None:
    path = await api.create_route(memory=64)
    call_ids = [await api.submit(path, Millrace_Priority=priority) for priority in ("0", "2", "1")]
    await api.submit(path, Millrace_Delay="100")
    answer = await api.get("/v1/queue/head")
    assert answer.status == 200
    calls = answer.json["calls"]
    assert [(call["id"], call["priority"]) for call in calls] == [
        (call_ids[1], 2),
        (call_ids[2], 1),
        (call_ids[0], 0),
    ]
    for call in calls:
        assert 0 <= call.pop("ready_s") < 30
        assert (call["memory_mb"], call["deliveries"]) == (64, 0)
        assert set(call) == {"id", "priority", "memory_mb", "deliveries"}
    assert [call["id"] for call in (await api.get("/v1/queue/head?limit=1")).json["calls"]] == call_ids[1:2]
    assert len((await api.get("/v1/queue/head?limit=500")).json["calls"]) == 3


async def test_a_sync_call_at_the_head_is_shown_as_one(api: ServedApi) -> None:
    ticket = SyncTicket(reply_to=new_id(), ttl_ms=60_000, message=b"")
    await api.queue.push(
        [QueueEntry(id=new_id(), order_no=0, priority=0, delay_ms=0, memory_mb=128, ticket=ticket)]
    )
    (call,) = (await api.get("/v1/queue/head")).json["calls"]
    assert call["sync"] is True
    assert "priority" not in call


async def test_the_command_pauses_resumes_and_shows(
    api: ServedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    call_id = await api.submit(await api.create_route(memory=64))
    url = f"http://127.0.0.1:{api.port}"
    shown = {
        QueueAction.PAUSE: "paused",
        None: "paused",
        QueueAction.RESUME: "running",
        QueueAction.HEAD: call_id,
    }
    async with Client(url) as client:
        asked = Api(client, Terminal())
        for action, text in shown.items():
            await show_queue(asked, action, as_json=False)
            table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
            assert text in "".join(table)
        await show_queue(asked, QueueAction.HEAD, as_json=True)
    (call,) = json.loads(capsys.readouterr().out.splitlines()[-1])["calls"]
    assert call["id"] == call_id
