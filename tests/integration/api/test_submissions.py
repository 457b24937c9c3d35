"""Calls submitted as JSON: one or many, each with its own fate, and what is stored of them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from api.call_bodies import decode_calls
from api.handlers import submissions
from api.keys import BODIES
from common.models import Headers, request_id_of
from common.settings import Settings
from deploy.local import LocalPostgres
from tests.integration.api.served import Answer, ServedApi
from tests.polling import eventually

CALLS = "/v1/apps/app/calls"
EVERY_BYTE = bytes(range(256))
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

WRONG: list[tuple[Any, int, str, str]] = [
    ({}, 400, "route_path_missing", "path"),
    ({"path": ""}, 400, "route_path_missing", "path"),
    ({"path": None}, 400, "route_path_missing", "path"),
    ({"path": 1}, 400, "invalid_json", "path"),
    ({"path": "hello"}, 400, "route_path_invalid", "path"),
    ({"path": "/hello?q=1"}, 400, "route_path_invalid", "path"),
    ({"path": "/%zz"}, 400, "path_malformed", "path"),
    ({"path": "/\0"}, 400, "path_malformed", "path"),
    ({"path": "/:a"}, 400, "route_dynamic_url", "path"),
    ({"path": "/none"}, 404, "route_not_found", ""),
    ({"path": "/hello", "Path": "/hello"}, 400, "invalid_json", "path"),
    ({"path": "/hello", "paylaod": "x"}, 400, "unknown_field", "paylaod"),
    ({"path": "/hello", "k" * 200: "x"}, 400, "unknown_field", "k" * 100),
    ({"path": "/hello", "payload": {"a": 1}}, 400, "invalid_json", "payload"),
    (
        {"path": "/hello", "payload": "x", "payload_base64": "eA=="},
        400,
        "invalid_payload",
        "payload_base64",
    ),
    ({"path": "/hello", "payload_base64": "eA="}, 400, "invalid_payload", "payload_base64"),
    ({"path": "/hello", "payload_base64": "e A=="}, 400, "invalid_payload", "payload_base64"),
    ({"path": "/hello", "payload_base64": "-_-_"}, 400, "invalid_payload", "payload_base64"),
    ({"path": "/hello", "payload_base64": "ü"}, 400, "invalid_payload", "payload_base64"),
    ({"path": "/hello", "priority": 3}, 400, "priority_invalid", "priority"),
    ({"path": "/hello", "priority": -1}, 400, "priority_invalid", "priority"),
    ({"path": "/hello", "priority": 10**30}, 400, "priority_invalid", "priority"),
    ({"path": "/hello", "priority": "1"}, 400, "invalid_json", "priority"),
    ({"path": "/hello", "priority": True}, 400, "invalid_json", "priority"),
    ({"path": "/hello", "priority": 1.0}, 400, "invalid_json", "priority"),
    ({"path": "/hello", "delay": 2_592_001}, 400, "delay_invalid", "delay"),
    ({"path": "/hello", "delay": 0.5}, 400, "invalid_json", "delay"),
    ({"path": "/hello", "timeout": 0}, 400, "timeout_invalid", "timeout"),
    ({"path": "/hello", "timeout": 3601}, 400, "timeout_invalid", "timeout"),
    ({"path": "/hello", "method": ""}, 400, "method_invalid", "method"),
    ({"path": "/hello", "method": "get"}, 400, "method_invalid", "method"),
    ({"path": "/hello", "method": "GET /"}, 400, "method_invalid", "method"),
    ({"path": "/hello", "headers": []}, 400, "invalid_json", "headers"),
    ({"path": "/hello", "headers": {"A": 1}}, 400, "invalid_json", "headers.A"),
    ({"path": "/hello", "headers": {"A": ["1", None]}}, 400, "invalid_json", "headers.A"),
    ({"path": "/hello", "headers": {"A B": "1"}}, 400, "call_headers_invalid", "headers.'A B'"),
    ({"path": "/hello", "headers": {"A": "1\r\nB: 2"}}, 400, "call_headers_invalid", "headers.'A'"),
    ({"path": "/hello", "headers": {"A": "1" * 65536}}, 400, "call_headers_invalid", "headers"),
    ({"path": "/json", "payload_base64": "/w=="}, 415, "body_not_text", ""),
    ([], 400, "invalid_json", ""),
    ("x", 400, "invalid_json", ""),
    (None, 400, "invalid_json", ""),
]
UNREADABLE: list[tuple[bytes, int, str, str]] = [
    (b"", 400, "Invalid JSON", ""),
    (b"{", 400, "Invalid JSON", ""),
    (b'{"path":"/hello"}x', 400, "Invalid JSON", ""),
    (b'{"path":"/hello","path":"/hello"}', 400, "Invalid JSON", "path"),
    (b'{"calls":[{"path":"/hello","path":"/hello"}]}', 400, "Invalid JSON", "path"),
    (b'{"calls":[{"path":"/hello"}],"calls":[]}', 400, "Invalid JSON", "calls"),
    (b'{"calls":[{"path":"/hello"}],"Calls":[]}', 400, "Invalid JSON", "calls"),
    (b'{"calls":[{"path":"/hello","priority":NaN}]}', 400, "Invalid JSON", ""),
    (b'{"calls":[{"path":"\xff"}]}', 400, "Invalid JSON", ""),
    (b'{"calls":[{"path":"\\ud800"}]}', 400, "Invalid JSON", ""),
    (b'{"calls":{}}', 400, "Invalid JSON", "calls"),
    (b'{"calls":null}', 400, "Invalid JSON", "calls"),
    (b'{"calls":[]}', 400, "calls should be 1 to 1000 calls", "calls"),
    (b'{"calls":[' + b",".join([b'{"path":"/hello"}'] * 1001) + b"]}", 400, "calls should be 1", "calls"),
    (b'{"calls":[{"path":"/hello"}],"path":"/hello"}', 400, "Unknown field", "path"),
    (b"[" * 100_000 + b"]" * 100_000, 400, "Invalid JSON", ""),
    (b'{"calls":[' + b"0," * 200_001 + b"0]}", 413, "Request body has too many values", ""),
    (b'{"calls":[' + b"{}," * 100_001 + b"0]}", 413, "Request body has too many values", ""),
    (b"[" * 200_001, 413, "Request body has too many values", ""),
    (b'{"path":"' + b'\\\\","payload":"' * 200_001, 413, "Request body has too many values", ""),
]


@pytest.fixture
async def small_api(settings: Settings) -> AsyncIterator[ServedApi]:
    """An api for payloads of 1000 bytes and a queue of 4 calls."""
    async with ServedApi(replace(settings, body_max_bytes=1000, queue_max_calls=4)) as api:
        yield api


def without_request_id(headers: Headers) -> Headers:
    return {name: values for name, values in headers.items() if name != "X-Request-Id"}


async def post(api: ServedApi, body: object) -> Answer:
    """Send a body of any size."""
    return await api.ask("POST", CALLS, data=json.dumps(body).encode())


async def submit(api: ServedApi, **asked: Any) -> str:
    answer = await post(api, {"path": "/hello", **asked})
    assert answer.status == 202, answer.body
    call_id: str = answer.json["call_id"]
    assert answer.json == {"call_id": call_id}
    assert answer.headers["Location"] == f"{CALLS}/{call_id}"
    return call_id


async def shown(api: ServedApi, call_id: str) -> dict[str, Any]:
    call: dict[str, Any] = (await api.get(f"{CALLS}/{call_id}")).json["call"]
    return call


def error_of(result: dict[str, Any]) -> tuple[int, str, str]:
    """Status, code and field of a result that is an error."""
    assert set(result) == {"status", "error"}
    assert result["error"]["message"]
    return result["status"], result["error"]["code"], result["error"].get("fields", "")


async def test_a_call_is_stored_with_all_that_was_asked(api: ServedApi) -> None:
    await api.create_route(path="/deep/er", memory=256, timeout=99)
    call_id = await submit(
        api,
        path="/deep/er",
        method="PUT",
        payload_base64=base64.b64encode(EVERY_BYTE).decode(),
        priority=2,
        timeout=3600,
        headers={
            "Content-Type": "application/x-thing",
            "X-Many": ["a", "b"],
            "x-many": "c",
            "Empty": [],
            "Host": "evil",
            "Authorization": "Bearer secret",
            "Connection": "X-Hop",
            "X-Hop": "1",
            "FN_PATH": "/forged",
            "Millrace-Delay": "5",
        },
    )
    assert (await shown(api, call_id))["timeout"] == 3600
    (claimed,) = await api.claim()
    call = claimed.call
    assert (str(call.id), call.type, call.path) == (call_id, "async", "/deep/er")
    assert (call.method, call.payload, call.priority) == ("PUT", EVERY_BYTE, 2)
    assert (call.timeout, call.memory, call.image) == (3600, 256, "fn/hello:1")
    assert call.url == f"http://127.0.0.1:{api.port}/r/app/deep/er"
    assert len(request_id_of(call.headers)) == 32
    assert without_request_id(call.headers) == {
        "Content-Type": ["application/x-thing"],
        "X-Many": ["a", "b", "c"],
    }


async def test_what_is_not_asked_for_has_its_default(api: ServedApi) -> None:
    await api.create_route(path="/", timeout=99)
    call_id = await submit(api, path="/", payload=None, headers=None, priority=None, timeout=None)
    assert not {"timeout", "delay"} & set(await shown(api, call_id))
    (claimed,) = await api.claim()
    call = claimed.call
    assert (call.method, call.payload, call.priority, call.timeout) == ("POST", b"", 0, 99)
    assert set(call.headers) == {"X-Request-Id"}
    assert call.url == f"http://127.0.0.1:{api.port}/r/app/"


async def test_a_payload_is_text_a_delay_is_kept_and_a_path_is_cleaned(api: ServedApi) -> None:
    await api.create_route(path="/a b/ü")
    call_id = await submit(api, path="/x/..//a%20b/ü/", payload="grüße\n\0", delay=60)
    call = await shown(api, call_id)
    assert (call["status"], call["delay"], call["path"]) == ("delayed", 60, "/a b/ü")
    await api.store.get_database().execute("UPDATE calls SET due_at = now(), delay_s = 0, status = 'queued'")
    (row,) = await api.store.get_database().fetch("SELECT * FROM call_inputs")
    assert row["payload"] == "grüße\n\0".encode()
    assert row["url"] == f"http://127.0.0.1:{api.port}/r/app/a%20b/%C3%BC"


async def test_a_call_of_a_sync_route_is_async(api: ServedApi) -> None:
    await api.create_route(type="sync")
    call_id = await submit(api, payload="x")
    assert (await shown(api, call_id))["type"] == "async"
    await api.finish(call_id, b"out")
    assert (await api.get(f"{CALLS}/{call_id}/result")).body == b"out"


async def test_the_trace_of_the_request_is_the_calls_unless_it_has_one(api: ServedApi) -> None:
    await api.create_route()
    headers = {"traceparent": TRACE, "tracestate": "a=1", "X-Other": "1"}
    items = [{"path": "/hello"}, {"path": "/hello", "headers": {"Traceparent": "not one"}}]
    assert (await api.ask("POST", CALLS, json={"calls": items}, headers=headers)).status == 200
    with_it, with_own = await api.claim()
    assert without_request_id(with_it.call.headers) == {"traceparent": [TRACE], "tracestate": ["a=1"]}
    assert without_request_id(with_own.call.headers) == {"Traceparent": ["not one"]}
    assert {request_id_of(one.call.headers) for one in (with_it, with_own)} == {TRACE.split("-")[1]}


async def test_what_is_wrong_with_a_call_is_named_alone_and_among_others(api: ServedApi) -> None:
    await api.create_route()
    await api.create_route(path="/json", format="json")
    for asked, status, code, field in WRONG:
        answer = await api.post(CALLS, asked)
        assert error_of({"status": answer.status, **answer.json}) == (status, code, field), asked
    assert await api.rows() == 0
    good = {"path": "/hello"}
    items = [item for asked, *_ in WRONG for item in (good, asked)] + [good]
    answer = await api.post(CALLS, {"calls": items})
    assert answer.status == 200
    results = answer.json["results"]
    assert [error_of(result) for result in results[1::2]] == [tuple(expected) for _, *expected in WRONG]
    assert {result["status"] for result in results[::2]} == {202}
    assert await api.rows() == len(WRONG) + 1


async def test_a_body_that_is_none_fails_as_a_whole(api: ServedApi) -> None:
    await api.create_route()
    for body, status, message, field in UNREADABLE:
        answer = await api.ask("POST", CALLS, data=body)
        assert (answer.status, answer.json["error"].get("fields", "")) == (status, field), body[:100]
        assert answer.message.startswith(message)
    assert await api.rows() == 0


async def test_commas_and_quotes_of_payloads_are_no_values(api: ServedApi) -> None:
    await api.create_route()
    payload = '[{"a\\\\": "b"}],' * 100_000
    call_id = await submit(api, payload=payload)
    (claimed,) = await api.claim()
    assert str(claimed.call.id) == call_id
    assert await api.store.get_payload(claimed.call.id) == payload.encode()


async def test_an_unknown_app_is_nobodys_call(api: ServedApi) -> None:
    for body in ({"path": "/hello"}, {"calls": [{"path": "/hello"}]}):
        answer = await api.post("/v1/apps/none/calls", body)
        assert (answer.status, answer.headline) == (404, "App not found")
    answer = await api.post("/v1/apps//calls", {"path": "/hello"})
    assert (answer.status, answer.headline) == (400, "Missing app name")


async def test_payloads_have_the_limit_of_bodies(
    small_api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = small_api
    await api.create_route()
    fits, large = "x" * 1000, "ü" * 501
    encoded = [base64.b64encode(payload.encode()).decode() for payload in (fits, large)]
    items = [{"payload": fits}, {"payload": large}, *({"payload_base64": text} for text in encoded)]
    answer = await api.post(CALLS, {"calls": [{"path": "/hello", **item} for item in items]})
    results = answer.json["results"]
    assert [result["status"] for result in results] == [202, 413, 202, 413]
    assert error_of(results[1]) == (413, "body_too_large", "payload")
    assert error_of(results[3]) == (413, "body_too_large", "payload_base64")
    assert "1000 bytes" in results[1]["error"]["message"]
    monkeypatch.setattr("api.handlers.submissions.CALLS_MAX_BYTES", 3000)
    answer = await api.ask("POST", CALLS, data=b" " * 3001)
    assert (answer.status, answer.message) == (413, "Request body too large: the limit is 3000 bytes")
    assert api.app[BODIES].held_bytes == 0


async def test_large_bodies_are_taken(api: ServedApi) -> None:
    await api.create_route()
    payloads = [bytes([number]) * (6 * 1024 * 1024) for number in range(3)]
    items = [{"path": "/hello", "payload_base64": base64.b64encode(one).decode()} for one in payloads]
    answer = await post(api, {"calls": items})
    assert [result["status"] for result in answer.json["results"]] == [202] * 3
    claimed = await api.claim()
    assert [await api.store.get_payload(one.call.id) for one in claimed] == payloads


async def test_a_thousand_calls_of_all_kinds_have_their_results_in_order(api: ServedApi) -> None:
    await api.create_route()
    await api.create_route(path="/json", format="json", type="sync")
    kinds: list[tuple[dict[str, Any], int]] = [
        ({"path": "/hello", "payload": "plain"}, 202),
        ({"path": "/none"}, 404),
        ({"path": "/json", "payload": "{}", "priority": 2}, 202),
        ({"path": "/json", "payload_base64": "/w=="}, 415),
        ({"path": "/hello", "idempotency_key": "same"}, 202),
        ({"path": "/hello", "idempotency_key": "same", "payload": "other"}, 422),
        ({"path": "/hello", "delay": 60}, 202),
        ({"path": "/hello", "unknown": 1}, 400),
    ]
    items = [kinds[number % 8][0] for number in range(1000)]
    answer = await api.post(CALLS, {"calls": items})
    results = answer.json["results"]
    assert [result["status"] for result in results] == [kinds[number % 8][1] for number in range(1000)]
    by_key = [results[number] for number in range(4, 1000, 8)]
    assert len({result["call_id"] for result in by_key}) == 1
    assert [result.get("replayed", False) for result in by_key] == [False] + [True] * 124
    made = list(dict.fromkeys(result["call_id"] for result in results if result["status"] == 202))
    assert len(made) == await api.rows() == 3 * 125 + 1
    rows = await api.store.get_database().fetch("SELECT id::text, xmin::text FROM calls ORDER BY order_no")
    assert [row["id"] for row in rows] == made
    assert len({row["xmin"] for row in rows}) <= 4

    async def are_queued() -> bool:
        return (await api.queue.depth()).calls == len(made)

    await eventually(are_queued)
    scrape = (await api.get("/metrics")).body
    assert b"millrace_calls_accepted_total 376.0" in scrape
    for code in ("route_not_found", "body_not_text", "idempotency_key_reused", "unknown_field"):
        assert f'millrace_calls_refused_total{{code="{code}"}} 125.0'.encode() in scrape


async def test_a_full_queue_takes_the_first_of_many(small_api: ServedApi) -> None:
    api = small_api
    await api.create_route()
    items = [{"path": "/hello", "payload": str(number)} for number in range(6)]
    items.insert(1, {"path": "/none"})
    answer = await api.post(CALLS, {"calls": items})
    results = answer.json["results"]
    assert [result["status"] for result in results] == [202, 404, 202, 202, 202, 503, 503]
    assert error_of(results[-1]) == (503, "queue_full", "")
    answer = await api.post(CALLS, items[0])
    assert (answer.status, answer.headline) == (503, "Queue is full")
    assert answer.headers["Retry-After"]
    assert await api.rows() == 4


async def test_a_call_that_the_store_refuses_harms_no_other(api: ServedApi) -> None:
    await api.create_route()
    await api.create_route(path="/odd")
    await api.store.get_database().execute(
        "ALTER TABLE calls ADD CONSTRAINT odd CHECK (path <> '/odd') NOT VALID"
    )
    paths = ["/hello", "/odd", "/hello"]
    answer = await api.post(CALLS, {"calls": [{"path": path} for path in paths]})
    results = answer.json["results"]
    assert [result["status"] for result in results] == [202, 500, 202]
    assert results[1]["error"] == {"message": "internal server error", "code": "internal_error"}
    answer = await api.post(CALLS, {"path": "/odd"})
    assert (answer.status, answer.headline) == (500, "internal server error")
    assert await api.rows() == 2


async def test_calls_of_an_app_that_is_just_going_are_told_so(api: ServedApi) -> None:
    await api.create_route()
    assert (await api.post(CALLS, {"path": "/hello"})).status == 202  # the route is known from now on
    async with api.store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM calls")
        await connection.execute("DELETE FROM apps")
        body = {"calls": [{"path": "/hello", "idempotency_key": key} for key in "aab"]}
        results = (await api.post(CALLS, body)).json["results"]
    assert [error_of(result) for result in results] == [(503, "app_being_removed", "")] * 3
    for table in ("calls", "idempotency_keys"):
        assert await api.rows(table) == 0


async def test_without_postgres_nothing_is_taken(settings: Settings, own_postgres: LocalPostgres) -> None:
    async with ServedApi(replace(settings, database_url=own_postgres.url)) as api:
        await api.create_route()
        await submit(api)
        await own_postgres.stop()
        for body in ({"path": "/new"}, {"calls": [{"path": "/new"}, {"path": "/hello"}]}):
            answer = await api.post(CALLS, body)
            assert (answer.status, answer.headline) == (503, "Datastore is unavailable")
        await own_postgres.start()


async def test_large_bodies_are_read_one_at_a_time(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.create_route()
    under_way: list[int] = []
    most = 0

    def decode(body: bytes, payload_max_bytes: int) -> Any:
        nonlocal most
        under_way.append(len(body))
        most = max(most, len(under_way))
        try:
            return decode_calls(body, payload_max_bytes)
        finally:
            under_way.pop()

    monkeypatch.setattr(submissions, "decode_calls", decode)
    payloads = ["\N{GRINNING FACE}" + "x" * 8_000_000 for _ in range(4)]
    answers = await asyncio.gather(*(post(api, {"path": "/hello", "payload": one}) for one in payloads))
    assert ([answer.status for answer in answers], most) == ([202] * 4, 1)
