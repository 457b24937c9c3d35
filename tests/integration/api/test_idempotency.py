"""Asking again with the same Idempotency-Key: the same call, whatever happened to it and whoever is asked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from multidict import CIMultiDict

from api.idempotency import idempotency_key
from api.invocation import Accepted
from api.keys import ADMISSION, SUBMITTER
from common.errors import IdempotencyKeyReusedError
from common.models import Call, new_id
from common.settings import Settings
from tests.integration.api.served import Answer, ServedApi
from tests.integration.api.stand_in import StandIn
from tests.integration.api.test_group_commit import locked, waiting
from tests.polling import eventually

CALLS = "/v1/apps/app/calls"
REUSED = "Idempotency-Key was used for another request"


@pytest.fixture
async def second_api(settings: Settings, api: ServedApi) -> AsyncIterator[ServedApi]:
    """Another api process on the same database and queue."""
    async with ServedApi(settings) as second:
        yield second


async def ask(api: ServedApi, path: str, key: str = "key-1", *, body: bytes = b"x", **headers: Any) -> Answer:
    """Submit *body*; *headers* with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.ask("POST", path, data=body, headers={"Idempotency-Key": key, **named})


def call_of(answer: Answer) -> str:
    """The call of a 202."""
    assert answer.status == 202, answer.body
    call_id: str = answer.json["call_id"]
    return call_id


def is_replay(answer: Answer) -> bool:
    return answer.headers.get("Idempotency-Replayed") == "true"


async def test_the_same_request_is_the_same_call_also_after_its_end(api: ServedApi) -> None:
    path = await api.create_route(headers={"X-Function": ["Test"]})
    first = await ask(api, path)
    assert not is_replay(first)
    for _ in range(2):
        again = await ask(api, path)
        assert is_replay(again)
        assert call_of(again) == call_of(first)
        assert again.headers.getall("Fn_call_id") == [call_of(first)]
        assert again.headers["X-Function"] == "Test"
        if await api.claim():
            await api.store.get_database().execute("UPDATE calls SET status = 'success'")
    assert await api.rows() == await api.rows("call_inputs") == 1
    assert b"millrace_calls_accepted_total 1.0" in (await api.get("/metrics")).body


async def test_another_request_with_the_key_is_refused(api: ServedApi) -> None:
    path, other = await api.create_route(), await api.create_route(path="/other")
    first = await ask(api, path, Content_Type="text/plain")
    same: dict[str, Any] = {"Content_Type": "text/plain"}
    for answer in (
        await ask(api, other, **same),
        await ask(api, f"{path}?q=1", **same),
        await ask(api, path, body=b"y", **same),
        await ask(api, path, Content_Type="text/html"),
        await ask(api, path, Millrace_Priority="1", **same),
        await ask(api, path, Millrace_Delay="1", **same),
        await api.ask(
            "PUT", path, data=b"x", headers={"Idempotency-Key": "key-1", "Content-Type": "text/plain"}
        ),
        await api.post(CALLS, {"path": "/hello", "payload": "x", "timeout": 9, "idempotency_key": "key-1"}),
    ):
        assert (answer.status, answer.headline) == (422, REUSED)
        assert answer.json["error"]["code"] == "idempotency_key_reused"
    again = await ask(api, path, User_Agent="another", X_Other="1", traceparent="00-1", **same)
    assert call_of(again) == call_of(first)
    assert await api.rows() == 1
    assert b'code="idempotency_key_reused"} 8.0' in (await api.get("/metrics")).body


async def test_a_changed_route_is_the_same_request(api: ServedApi) -> None:
    path = await api.create_route()
    first = await ask(api, path)
    await api.ask("PATCH", "/v1/apps/app/routes/hello", json={"route": {"image": "fn/hello:2"}})
    assert call_of(await ask(api, path)) == call_of(first)


async def test_a_key_is_of_its_app(api: ServedApi) -> None:
    here, there = await api.create_route(), await api.create_route(app="other")
    assert call_of(await ask(api, here)) != call_of(await ask(api, there))


async def test_a_key_is_the_same_however_the_call_is_asked_for(api: ServedApi) -> None:
    path = await api.create_route()
    first = await ask(api, path, Content_Type="text/plain")
    asked = {"path": "/hello", "payload": "x", "headers": {"content-type": "text/plain"}}
    by_member = await api.post(CALLS, {**asked, "idempotency_key": "key-1"})
    by_header = await api.ask("POST", CALLS, json=asked, headers={"Idempotency-Key": "key-1"})
    for answer in (by_member, by_header):
        assert is_replay(answer)
        assert call_of(answer) == call_of(first)
        assert answer.headers["Location"] == f"{CALLS}/{call_of(first)}"


async def test_a_sync_route_may_be_asked_the_async_way(api: ServedApi) -> None:
    path = await api.create_route(type="sync")
    first = await ask(api, path, Prefer="respond-async")
    again = await ask(api, path, Prefer="respond-async")
    assert call_of(again) == call_of(first)
    assert again.headers["Preference-Applied"] == "respond-async"


async def test_a_sync_call_has_no_key(api: ServedApi) -> None:
    path = await api.create_route(type="sync")
    answer = await ask(api, path)
    assert (answer.status, answer.headline) == (400, "Idempotency-Key is for async calls only")
    assert answer.json["error"]["fields"] == "Idempotency-Key"
    assert answer.json["error"]["code"] == "invalid_idempotency_key"
    assert (await api.queue.depth()).calls == 0


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "sch\u00f6n", "a\tb"])
async def test_a_bad_key_names_its_header(api: ServedApi, key: str) -> None:
    path = await api.create_route()
    for answer in (
        await ask(api, path, key),
        await api.ask("POST", CALLS, json={"path": "/hello"}, headers={"Idempotency-Key": key}),
    ):
        assert (answer.status, answer.json["error"]["fields"]) == (400, "Idempotency-Key")
        assert answer.headline == "Idempotency-Key should be 1 to 255 visible ASCII characters"
    answer = await api.post(CALLS, {"path": "/hello", "idempotency_key": key})
    assert (answer.status, answer.json["error"]["fields"]) == (400, "idempotency_key")
    assert await api.rows() == await api.rows("idempotency_keys") == 0


async def test_the_longest_key_and_the_oddest_characters_are_kept(api: ServedApi) -> None:
    path = await api.create_route()
    for key in ("x" * 255, "".join(map(chr, range(0x21, 0x7F)))):
        assert call_of(await ask(api, path, key)) == call_of(await ask(api, path, key))
    assert await api.rows() == 2


async def test_two_keys_are_none(api: ServedApi) -> None:
    path = await api.create_route()
    headers = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "a")])
    answer = await api.ask("POST", path, headers=headers)
    assert (answer.status, answer.headline) == (400, "Idempotency-Key stands more than once")
    headers = CIMultiDict([("Idempotency-Key", "a")])
    answer = await api.ask("POST", CALLS, json={"path": "/hello", "idempotency_key": "b"}, headers=headers)
    assert (answer.status, answer.json["error"]["fields"]) == (400, "idempotency_key")
    answer = await api.ask("POST", CALLS, json={"calls": [{"path": "/hello"}]}, headers=headers)
    assert (answer.status, answer.json["error"]["fields"]) == (400, "Idempotency-Key")
    assert await api.rows() == 0


async def test_requests_that_come_together_make_one_call_through_two_processes(
    api: ServedApi, second_api: ServedApi
) -> None:
    path = await api.create_route()
    async with locked(api, "idempotency_keys"):
        asking = [asyncio.create_task(ask(one, path)) for one in (api, second_api) * 10]
        await eventually(lambda: _both_wait(api))
    answers = await asyncio.gather(*asking)
    assert len({call_of(answer) for answer in answers}) == 1
    assert sorted(is_replay(answer) for answer in answers) == [False] + [True] * 19
    assert await api.rows() == 1
    assert (await api.queue.depth()).calls == 1


async def _both_wait(api: ServedApi) -> bool:
    return await waiting(api) == 2


async def test_many_requests_and_keys_through_two_processes_make_a_call_for_each_key(
    api: ServedApi, second_api: ServedApi
) -> None:
    path = await api.create_route()
    keys = [f"key-{number}" for number in range(12)]
    asked = [(one, key) for key in keys for one in (api, second_api)] * 3
    asked.sort(key=lambda pair: hash(pair[1]) % 7)
    answers = await asyncio.gather(*(ask(one, path, key) for one, key in asked))
    assert len({(key, call_of(answer)) for (_, key), answer in zip(asked, answers, strict=True)}) == len(keys)
    assert await api.rows() == len(keys)


async def test_a_batch_that_is_tried_one_by_one_makes_one_call_for_a_key(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    calls = [a_call() for _ in range(6)]
    calls[1] = replace(calls[1], memory=2**40)  # its row can't be: the batch fails, and all are tried alone
    calls[4] = replace(calls[4], priority=1)  # another request
    async with locked(api, "calls"):
        first = asyncio.create_task(submitter.submit_async(a_call()))
        await eventually(lambda: waiting(api))
        tasks = [
            asyncio.create_task(submitter.submit_async(call, idempotency_key("key", call))) for call in calls
        ]
        await asyncio.sleep(0)
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    accepted = Accepted(calls[0].id, is_replay=False)
    replay = Accepted(calls[0].id, is_replay=True)
    assert [answers[place] for place in (0, 2, 3, 5)] == [accepted, replay, replay, replay]
    assert isinstance(answers[1], Exception)
    assert isinstance(answers[4], IdempotencyKeyReusedError)
    assert await api.rows() == 2


async def test_the_bad_call_of_a_batch_leaves_no_key(api: ServedApi) -> None:
    await api.create_route()
    submitter = api.app[SUBMITTER]
    bad = replace(a_call(), memory=2**40)
    with pytest.raises(Exception, match="out of"):
        await submitter.submit_async(bad, idempotency_key("key", bad))
    assert await api.rows("idempotency_keys") == 0


async def test_a_key_is_forgotten_after_a_day(api: ServedApi) -> None:
    path = await api.create_route()
    first = await ask(api, path)
    await api.store.get_database().execute(
        "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours'"
    )
    second = await ask(api, path, body=b"another")
    assert not is_replay(second)
    assert call_of(second) != call_of(first)
    assert call_of(await ask(api, path, body=b"another")) == call_of(second)
    assert await api.rows() == 2


async def test_a_call_that_is_refused_leaves_no_key(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=1)) as api:
        path = await api.create_route()
        await api.submit(path)
        assert (await ask(api, path)).headline == "Queue is full"
        assert await api.rows("idempotency_keys") == 0
        await api.run_all()

        answers = []

        async def is_accepted() -> bool:
            answers.append(await ask(api, path))
            return answers[-1].status == 202

        await eventually(is_accepted)
        assert not is_replay(answers[-1])
        await api.ask("DELETE", "/v1/apps/app")
        assert await api.rows("idempotency_keys") == 0
        assert (await ask(api, path)).headline == "App not found"


async def test_a_replay_takes_no_room(settings: Settings) -> None:
    async with ServedApi(replace(settings, queue_max_calls=3)) as api:
        path = await api.create_route()
        first = await ask(api, path)
        api.app[ADMISSION]._read_at_s += 3600  # the depth is not read again
        for _ in range(5):
            assert call_of(await ask(api, path)) == call_of(first)
        for _ in range(2):
            await api.submit(path)
        assert (await api.ask("POST", path)).headline == "Queue is full"


async def test_a_trace_and_a_key_reach_the_function(api: ServedApi) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    path = await api.create_route()
    await ask(api, path, traceparent=trace, tracestate="a=1")
    (claimed,) = await api.claim()
    headers = {name.lower(): values for name, values in claimed.call.headers.items()}
    assert headers["traceparent"] == [trace]
    assert headers["tracestate"] == ["a=1"]
    assert headers["idempotency-key"] == ["key-1"]
    worker, path = StandIn(api.queue), await api.create_route(path="/sync", type="sync")
    asking = asyncio.create_task(api.ask("POST", path, headers={"traceparent": trace}))
    taken = await worker.answer_next()
    assert {name.lower(): values for name, values in taken.call.headers.items()}["traceparent"] == [trace]
    await asking


def a_call() -> Call:
    return Call(id=new_id(), app_name="app", path="/hello", type="async", memory=1, payload=b"x")
