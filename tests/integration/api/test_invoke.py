"""Taking calls: what is stored of a request, what is refused and in which order, and that refused means not stored."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from multidict import CIMultiDict

from api import bodies
from api.keys import BODIES
from common.settings import Settings
from tests.integration.api.served import Answer, ServedApi
from tests.polling import eventually


@pytest.fixture
async def small_api(settings: Settings) -> AsyncIterator[ServedApi]:
    """An api for bodies of 1000 bytes and a queue of 2 calls."""
    async with ServedApi(replace(settings, body_max_bytes=1000, queue_max_calls=2)) as api:
        yield api


def refused(answer: Answer, status: int, message: str) -> bool:
    return answer.status == status and message in (answer.message, answer.headline)


async def test_a_worker_gets_the_request_as_it_came(api: ServedApi) -> None:
    """Fn's U-30, U-32."""
    path = await api.create_route(path="/deep/er", memory=256, timeout=99, config={"K": "v"})
    payload = bytes(range(256)) * 3
    headers = [
        ("X-Multi", "a"),
        ("X-Multi", "b"),
        ("Content-Type", "application/x-thing"),
        ("Content-Encoding", "gzip"),
        ("Cookie", "c=1"),
        ("Authorization", "Bearer secret"),
        ("Fn-Path", "/forged"),
        ("FN_CALL_ID", "forged"),
        ("Millrace-Priority", "1"),
        ("Keep-Alive", "3"),
        ("X-Hop", "h"),
        ("Connection", "keep-alive, X-Hop"),
    ]
    answer = await api.ask("PUT", f"{path}?q=%20x", data=payload, headers=CIMultiDict(headers))
    assert answer.status == 202
    (claimed,) = await api.claim()
    call = claimed.call
    assert str(call.id) == answer.json["call_id"]
    assert (call.payload, call.method) == (payload, "PUT")
    assert call.url == f"http://127.0.0.1:{api.port}/r/app/deep/er?q=%20x"
    assert (call.path, call.priority, call.memory, call.timeout) == ("/deep/er", 1, 256, 99)
    assert call.base_env["K"] == "v"
    stored = {name.lower(): values for name, values in call.headers.items()}
    assert stored.pop("content-length") == [str(len(payload))]
    assert {name: stored.pop(name)[0] != "" for name in ("accept", "accept-encoding", "user-agent")}
    assert stored.pop("x-request-id") == [answer.headers["X-Request-Id"]]
    assert stored == {
        "x-multi": ["a", "b"],
        "content-type": ["application/x-thing"],
        "content-encoding": ["gzip"],
    }


async def test_a_path_is_cleaned_before_it_is_looked_up(api: ServedApi) -> None:
    await api.create_route(path="/a/b")
    for path in ("/r/app/a/b", "/r/app//a//b/", "/r/app/x/../a/./b", "/r/app/a%2Fb", "/r/app/%61/b"):
        assert (await api.ask("POST", path)).status == 202
    assert (await api.ask("POST", "/r/app/../../v1/apps")).message == "Route not found"


async def test_the_longest_delay_is_thirty_days(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route(), Millrace_Delay="2592000")
    assert (await api.get(f"/v1/apps/app/calls/{call_id}")).json["call"]["delay"] == 2_592_000


async def test_a_body_over_the_limit_is_refused_declared_or_not(small_api: ServedApi) -> None:
    api, path = small_api, await small_api.create_route()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 400

    for body in (b"x" * 1001, chunks()):
        answer = await api.ask("POST", path, data=body)
        assert refused(answer, 413, "Request body too large: the limit is 1000 bytes")
        assert answer.headers["Fn_call_id"]
    # What is merely declared makes no room: this is refused at once, not after ten terabytes.
    declared = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000000\r\nConnection: close\r\n\r\n"
    )
    assert (await api.raw(declared % path.encode()))[0] == 413
    assert await api.rows() == 0
    await api.submit(path, b"x" * 1000)


async def test_a_full_queue_refuses_before_anything_is_stored(small_api: ServedApi) -> None:
    api, path = small_api, await small_api.create_route()
    for _ in range(2):
        await api.submit(path)
    for _ in range(3):
        answer = await api.ask("POST", path, headers={"Millrace-Delay": "5"})
        assert refused(answer, 503, "Queue is full")
        assert answer.headers["Retry-After"] == "15"
    assert await api.rows() == 2
    assert b'millrace_calls_refused_total{code="queue_full"} 3.0' in (await api.get("/metrics")).body
    await api.run_all()

    async def has_room() -> bool:
        return (await api.ask("POST", path)).status == 202

    await eventually(has_room)


async def test_calls_that_come_together_do_not_pass_a_full_queue(small_api: ServedApi) -> None:
    api, path = small_api, await small_api.create_route()
    answers = await asyncio.gather(*(api.ask("POST", path) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [202] * 2 + [503] * 18
    assert await api.rows() == 2


async def test_bodies_take_no_more_memory_than_all_may_together(api: ServedApi) -> None:
    path = await api.create_route()
    shares = api.app[BODIES].shares
    shares.total, shares.reserve = 1000, 0
    answer = await api.ask("POST", path, data=b"x" * 1001)
    assert (answer.status, answer.json["error"]["code"]) == (503, "server_busy")
    assert answer.message.startswith(
        "Timed out - server too busy: of request bodies under way this client holds"
    )
    assert answer.headers["Retry-After"] == "15"
    await api.submit(path, b"x" * 1000)
    assert api.app[BODIES].held_bytes == 0


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await api.create_route()
    monkeypatch.setattr(bodies, "BODY_READ_S", 0.2)
    request = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc"
    assert (await api.raw(request % path.encode()))[0] == 408
    assert await api.rows() == 0


async def test_headers_that_are_no_utf8_reach_the_function_as_latin1(api: ServedApi) -> None:
    path = await api.create_route()
    request = b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Name: J\xf6rg\r\nConnection: close\r\n\r\n"
    assert (await api.raw(request % path.encode()))[0] == 202
    (claimed,) = await api.claim()
    assert claimed.call.headers["X-Name"] == ["Jörg"]


async def test_a_route_whose_config_is_too_large_with_its_apps_says_so(api: ServedApi) -> None:
    path = await api.create_route(config={f"R{number}": "x" * 60_000 for number in range(5)})
    config = {f"A{number}": "x" * 60_000 for number in range(5)}
    assert (await api.ask("PATCH", "/v1/apps/app", json={"app": {"config": config}})).status == 200
    answer = await api.ask("POST", path)
    assert refused(answer, 400, "The config of an app and its route may have 524288 bytes together")
    assert answer.json["error"]["fields"] == "route.config"


async def test_what_changes_while_the_body_arrives_counts(api: ServedApi) -> None:
    path = await api.create_route(image="fn/hello:1")
    request = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n%s"

    async def status_after(change: str, **options: object) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(request % (path.encode(), b"x"))
        await eventually(lambda: api.app[BODIES].held_bytes == 1)
        assert (await api.ask(change, "/v1/apps/app/routes/hello", **options)).status == 200
        writer.write(b"y")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return answer.split()[1]

    assert await status_after("PATCH", json={"route": {"image": "fn/hello:2"}}) == b"202"
    (claimed,) = await api.claim()
    assert claimed.call.image == "fn/hello:2"
    assert await status_after("DELETE") == b"404"
    assert await api.rows() == 1


async def test_a_changed_route_is_used_at_once_and_accepted_calls_keep_theirs(api: ServedApi) -> None:
    path = await api.create_route(image="fn/hello:1")
    await api.submit(path)
    changed = await api.ask("PATCH", "/v1/apps/app/routes/hello", json={"route": {"image": "fn/hello:2"}})
    assert changed.status == 200
    await api.submit(path)
    await api.ask("PATCH", "/v1/apps/app", json={"app": {"config": {"K": "v"}}})
    await api.submit(path)
    assert [(claimed.call.image, claimed.call.base_env.get("K")) for claimed in await api.claim()] == [
        ("fn/hello:1", None),
        ("fn/hello:2", None),
        ("fn/hello:2", "v"),
    ]
    assert await api.rows("route_revisions") == 3
