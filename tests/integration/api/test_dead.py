"""Dead calls over HTTP: listed, brought back once whoever asks how often, purged; within bounds."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from api.handlers import dead as dead_handlers
from api.keys import ADMISSION
from common.models import new_id, parse_id
from common.settings import Settings
from tests.integration.api.served import Answer, ServedApi


async def dead(api: ServedApi, count: int, app: str = "app", payload: bytes = b"in") -> list[str]:
    """Calls that were given up, oldest first."""
    if (await api.get(f"/v1/apps/{app}")).status == 404:
        await api.create_route(app)
    call_ids = [await api.submit(f"/r/{app}/hello", payload) for _ in range(count)]
    ids = [parsed for call_id in call_ids if (parsed := parse_id(call_id))]
    await api.store.settle_dead(ids)
    await api.queue.cancel(ids)
    return call_ids


async def listed(api: ServedApi, query: str = "") -> list[str]:
    return [call["id"] for call in (await api.get(f"/v1/dead?{query}")).json["calls"]]


async def requeue(api: ServedApi, **which: Any) -> Any:
    answer = await api.post("/v1/dead/requeue", which)
    assert answer.status == 200, answer.body
    return answer.json


async def purge(api: ServedApi, **which: Any) -> Any:
    answer = await api.post("/v1/dead/purge", which)
    assert answer.status == 200, answer.body
    return answer.json


async def test_dead_calls_are_listed_newest_first_in_pages(api: ServedApi) -> None:
    assert (await api.get("/v1/dead")).json == {
        "message": "Successfully listed dead calls",
        "next_cursor": "",
        "calls": [],
    }
    ours, others = await dead(api, 3), await dead(api, 1, "other")
    first = (await api.get("/v1/dead?per_page=2")).json
    assert [call["id"] for call in first["calls"]] == [others[0], ours[2]]
    rest = (await api.get(f"/v1/dead?per_page=3&cursor={first['next_cursor']}")).json
    assert ([call["id"] for call in rest["calls"]], rest["next_cursor"]) == (ours[1::-1], "")
    assert await listed(api, "app=app") == ours[::-1]
    call = (await api.get("/v1/dead?app=other")).json["calls"][0]
    assert call == (await api.get(f"/v1/apps/other/calls/{others[0]}")).json["call"]
    assert (call["status"], call["reason"], call["detail"]) == ("error", "killed", "too_many_attempts")
    missing = await api.get("/v1/dead?app=none")
    assert (missing.status, missing.message) == (404, "App not found")
    bad = await api.get("/v1/dead?cursor=nothing")
    assert (bad.status, bad.json["error"]["fields"]) == (400, "cursor")


async def test_requeued_calls_run_again_as_new_ones(api: ServedApi) -> None:
    call_ids = await dead(api, 3)
    asked = [call_ids[2], str(new_id()), call_ids[0], call_ids[0]]
    answer = await requeue(api, ids=asked)
    assert (answer["requeued"], answer["has_more"]) == (2, False)
    assert [one["id"] for one in answer["calls"]] == [call_ids[0], call_ids[2]]
    claimed = await api.claim()
    assert [str(one.call.id) for one in claimed] == [one["call_id"] for one in answer["calls"]]
    assert [one.call.payload for one in claimed] == [b"in", b"in"]
    new = (await api.get(f"/v1/apps/app/calls/{answer['calls'][0]['call_id']}")).json["call"]
    assert new["parent_id"] == call_ids[0]
    assert await listed(api) == [call_ids[1]]
    assert (await api.get(f"/v1/apps/app/calls/{call_ids[0]}")).json["call"]["status"] == "error"
    assert await requeue(api, ids=asked) == {"requeued": 0, "calls": [], "has_more": False}


async def test_all_of_an_app_or_all_there_are(api: ServedApi) -> None:
    ours, others = await dead(api, 2), await dead(api, 2, "other")
    assert [one["id"] for one in (await requeue(api, app="other"))["calls"]] == others
    assert await listed(api) == ours[::-1]
    assert (await requeue(api, all=True))["requeued"] == 2
    assert (await requeue(api, all=True))["requeued"] == 0
    assert await api.rows() == 8


async def test_who_requeues_twice_at_the_same_time_gets_one_new_call_of_each(api: ServedApi) -> None:
    call_ids = await dead(api, 40)
    bodies: list[dict[str, Any]] = [{"all": True}, {"ids": call_ids}, {"app": "app"}, {"ids": call_ids[::-1]}]
    answers = await asyncio.gather(*(requeue(api, **body) for body in bodies))
    parents = [one["id"] for answer in answers for one in answer["calls"]]
    assert sorted(parents) == sorted(call_ids)
    new = {one["call_id"] for answer in answers for one in answer["calls"]}
    assert len(new) == 40
    assert await api.rows() == 80
    assert {str(one.call.id) for one in await api.claim()} == new


async def test_the_key_of_a_purged_call_makes_a_new_one(api: ServedApi) -> None:
    path, key = await api.create_route(), {"Idempotency-Key": "once"}
    first = (await api.ask("POST", path, headers=key)).json["call_id"]
    purged_id = parse_id(first)
    assert purged_id is not None
    await api.store.settle_dead([purged_id])
    assert await purge(api, ids=[first]) == {"purged": 1, "has_more": False}
    answer = await api.ask("POST", path, headers=key)
    assert answer.json["call_id"] != first
    assert "Idempotency-Replayed" not in answer.headers
    assert (await api.get(f"/v1/apps/app/calls/{answer.json['call_id']}")).status == 200


async def test_purged_calls_are_gone_with_all_that_was_kept(api: ServedApi) -> None:
    ours, others = await dead(api, 2), await dead(api, 1, "other")
    kept = await api.submit("/r/app/hello")
    assert await purge(api, ids=[ours[0], kept]) == {"purged": 1, "has_more": False}
    assert (await api.get(f"/v1/apps/app/calls/{ours[0]}")).status == 404
    assert (await api.get(f"/v1/apps/app/calls/{kept}")).status == 200
    assert await purge(api, app="other") == {"purged": 1, "has_more": False}
    assert await purge(api, all=True) == {"purged": 1, "has_more": False}
    assert await listed(api) == []
    assert (await api.rows(), await api.rows("call_inputs")) == (1, 1)
    assert (await api.get(f"/v1/apps/other/calls/{others[0]}")).status == 404


@pytest.mark.parametrize("limit", ["MAX_CALLS", "MAX_BYTES"])
async def test_one_request_moves_so_much_and_says_that_there_is_more(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    call_ids = await dead(api, 5, payload=b"x" * 100)
    monkeypatch.setattr(dead_handlers, limit, 2 if limit == "MAX_CALLS" else 250)
    done = []
    for _ in range(2):
        answer = await requeue(api, all=True)
        assert (answer["requeued"], answer["has_more"]) == (2, True)
        done += [one["id"] for one in answer["calls"]]
    assert await purge(api, app="app") == {"purged": 1, "has_more": False}
    assert done == call_ids[:4]


async def test_one_that_is_larger_than_the_limit_is_moved_alone(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dead(api, 2, payload=b"x" * 100)
    monkeypatch.setattr(dead_handlers, "MAX_BYTES", 50)
    assert await purge(api, all=True) == {"purged": 1, "has_more": True}


async def test_as_many_come_back_as_the_queue_has_room_for(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=3)) as api:
        call_ids = await dead(api, 3)
        api.app[ADMISSION]._read_at_s = 0  # else it goes by what it read a moment ago
        await api.submit("/r/app/hello")
        answer = await requeue(api, all=True)
        assert ([one["id"] for one in answer["calls"]], answer["has_more"]) == (call_ids[:2], True)
        refused = await api.post("/v1/dead/requeue", {"all": True})
        assert (refused.status, refused.json["error"]["code"]) == (503, "queue_full")
        await api.run_all()
        assert await listed(api) == [call_ids[2]]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "invalid_json", ""),
        (b"null", "invalid_json", ""),
        (b"[]", "invalid_json", ""),
        (b'{"all": true} x', "invalid_json", ""),
        (b'{"all": true, "all": true}', "invalid_json", "all"),
        (b'{"all": 1}', "invalid_json", "all"),
        (b'{"ids": "x"}', "invalid_json", "ids"),
        (b'{"ids": [1]}', "invalid_json", "ids"),
        (b'{"app": ["x"]}', "invalid_json", "app"),
        (b"{}", "selection_invalid", "ids"),
        (b'{"all": false}', "selection_invalid", "ids"),
        (b'{"al": true}', "unknown_field", "al"),
        (b'{"all": true, "app": "app"}', "selection_invalid", "app"),
        (b'{"ids": [], "all": true}', "selection_invalid", "ids"),
        (b'{"ids": []}', "selection_invalid", "ids"),
        (b'{"ids": ["x"]}', "selection_invalid", "ids"),
        (b'{"ids": ["\\u0000"]}', "selection_invalid", "ids"),
        (b'{"app": ""}', "selection_invalid", "app"),
        (json.dumps({"ids": [str(new_id())] * 1001}).encode(), "selection_invalid", "ids"),
    ],
)
async def test_what_is_no_choice_is_refused(api: ServedApi, body: bytes, code: str, field: str) -> None:
    await dead(api, 1)
    for action in ("requeue", "purge"):
        answer: Answer = await api.ask("POST", f"/v1/dead/{action}", data=body)
        assert answer.status == 400, answer.body
        error = answer.json["error"]
        assert (error["code"], error.get("fields", "")) == (code, field)
    assert (await api.post("/v1/dead/requeue", {"app": "none"})).status == 404
    assert await api.rows() == 1


async def test_queue_metric_and_list_count_the_same_dead_calls(api: ServedApi) -> None:
    call_ids = await dead(api, 3)

    async def counts() -> list[int]:
        depth = (await api.get("/v1/queue")).json
        lines = (await api.get("/metrics")).body.decode().splitlines()
        (shown,) = [line for line in lines if line.startswith("millrace_dead_calls{")]
        return [depth["dead"], int(float(shown.split()[1])), len(await listed(api))]

    assert await counts() == [3, 3, 3]
    await requeue(api, ids=call_ids[:1])
    assert await counts() == [2, 2, 2]
    await purge(api, all=True)
    assert await counts() == [0, 0, 0]
