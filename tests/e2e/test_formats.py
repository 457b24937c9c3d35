"""What function and caller get of each other, in each wire format."""

import json
from datetime import UTC, datetime

import pytest

from tests.e2e.probe import CONFIG, Probe
from tests.e2e.system import System

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="module")]

HOT = ("json", "http")
FORMATS = ("default", *HOT)
ALL_BYTES = bytes(range(256)) * 5


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize("size", [0, 1, 2**20])
async def test_a_body_comes_back_as_it_was_sent(
    shared_system: System, probe_image: str, wire_format: str, size: int
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    body = ('é"\\\u2028\r\n' * size).encode()[:size] if size > 1 else b"x" * size
    body = body.decode(errors="ignore").encode()
    answer = await probe.call(body)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    ("wire_format", "fields"), [("default", {}), ("json", {"body_encoding": "base64"}), ("http", {})]
)
async def test_all_byte_values_pass_both_ways(
    shared_system: System, probe_image: str, wire_format: str, fields: dict[str, str]
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format, **fields)
    answer = await probe.call(ALL_BYTES)
    assert (answer.status, answer.body) == (200, ALL_BYTES)


async def test_bytes_that_are_no_text_are_refused_where_json_would_alter_them(
    shared_system: System, probe_image: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, "json")
    answer = await probe.call(ALL_BYTES)
    assert answer.status == 415
    assert "base64" in answer.message
    assert (await probe.call(b"text")).body == b"text"


async def test_what_a_cold_function_printed_is_never_taken_for_a_page(
    shared_system: System, probe_image: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, "default")
    text = await probe.call(b"<html><script>alert(1)</script>")
    assert text.headers["Content-Type"].partition(";")[0] in {"text/plain", "application/octet-stream"}
    binary = await probe.call(ALL_BYTES)
    assert binary.headers["Content-Type"] == "application/octet-stream"
    assert {text.headers["X-Content-Type-Options"], binary.headers["X-Content-Type-Options"]} == {"nosniff"}


@pytest.mark.parametrize("wire_format", HOT)
async def test_a_hot_function_says_its_status_headers_and_type(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    headers = ["X-Own: 1", "X-Own: 2", "Set-Cookie: a=b", "Fn_call_id: forged"]
    answer = await probe.call(b"tea", status=418, type="text/x-tea", header=headers)
    assert (answer.status, answer.body) == (418, b"tea")
    assert answer.headers.getall("Content-Type") == ["text/x-tea"]
    assert answer.headers.getall("X-Own") == ["1", "2"]
    assert "Set-Cookie" not in answer.headers, "it would be of the api's origin"
    (call_id,) = answer.headers.getall("Fn_call_id")
    assert (await probe.record(call_id))["status"] == "success"


@pytest.mark.parametrize("wire_format", HOT)
async def test_headers_of_the_connection_are_not_passed_on(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    sent = {
        "Connection": "keep-alive, X-Named",
        "X-Named": "1",
        "TE": "trailers",
        "Proxy-Authorization": "secret",
    }
    got = (await probe.report(headers={**sent, "Authorization": "Bearer secret", "X-Kept": "1"}))["named"]
    assert got["x-kept"] == ["1"]
    assert not {"x-named", "te", "proxy-authorization", "authorization", "transfer-encoding"} & got.keys()
    answer = await probe.call(
        b"x", header=["Keep-Alive: timeout=9", "Upgrade: h2c", "Proxy-Authenticate: Basic", "X-Kept: 1"]
    )
    assert answer.headers["X-Kept"] == "1"
    assert not {"Keep-Alive", "Upgrade", "Proxy-Authenticate"} & set(answer.headers)


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_the_headers_of_the_route_are_on_every_answer(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format, headers={"X-Route": ["a", "b"]})
    good, bad = await probe.call(b"x"), await probe.call(b"x", at="before", exit=3)
    assert (good.status, bad.status) == (200, 502)
    assert good.headers.getall("X-Route") == bad.headers.getall("X-Route") == ["a", "b"]
    assert bad.headers["Fn_call_id"]


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_the_environment_tells_what_is_fixed(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    expected = {
        "FN_FORMAT": wire_format,
        "FN_APP_NAME": "e2e",
        "FN_PATH": probe.path,
        "FN_MEMORY": "64",
        "FN_TYPE": "sync",
    }
    assert (await probe.report())["env"].items() >= (expected | CONFIG).items()


@pytest.mark.parametrize("wire_format", HOT)
async def test_the_headers_tell_a_hot_function_of_its_call(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    for served in (1, 2):  # the second time by the same container
        report = await probe.report(method="PUT", headers={"X-Own": "1", "Content-Type": "text/x-tea"})
        got = report["named"]
        assert got["fn-call-id"] == [report["call_id"]]
        assert got["fn-method"] == ["PUT"]
        assert got["fn-request-url"] == [f"{shared_system.url}/r/e2e{probe.path}?report=1"]
        assert got["fn-attempt"] == ["1"]
        assert got["app-var"] == [CONFIG["APP_VAR"]]
        assert (got["x-own"], got["content-type"]) == (["1"], ["text/x-tea"])
        assert 0 < (datetime.fromisoformat(got["fn-deadline"][0]) - datetime.now(UTC)).total_seconds() < 31
        assert (report["method"], report["served"]) == ("PUT", served)
        assert not {"FN_CALL_ID", "FN_DEADLINE"} & report["env"].keys()


async def test_the_object_of_format_json_tells_of_its_call(shared_system: System, probe_image: str) -> None:
    probe = await Probe.create(shared_system, probe_image, "json")
    report = await probe.report(body=b"12345", headers={"Content-Type": "text/x-tea"})
    frame = report["frame"]
    assert (frame["call_id"], frame["type"], frame["content_type"]) == (
        report["call_id"],
        "sync",
        "text/x-tea",
    )
    assert (frame["body"], frame["protocol"]["type"]) == (5, "http")
    assert frame["deadline"] == report["named"]["fn-deadline"][0]


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_a_client_can_forge_neither_call_nor_config(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    names = "Fn_call_id Fn-Call-Id FN_DEADLINE fn-attempt Fn-Method FN_REQUEST_URL App_var App-Var APP_VAR".split()
    report = await probe.report(headers=dict.fromkeys(names, "forged"))
    assert report["env"]["APP_VAR"] == CONFIG["APP_VAR"]
    if wire_format == "default":
        assert report["env"]["FN_CALL_ID"] == report["call_id"]
        assert not [name for name in report["env"] if name.upper().startswith("FN_HEADER_FN_")]
    else:
        assert "forged" not in json.dumps(report["headers"])


@pytest.mark.parametrize(("framing", "lines"), [("universal", 3), ("line", 1)])
async def test_json_framing_is_what_the_route_says(
    shared_system: System, probe_image: str, framing: str, lines: int
) -> None:
    probe = await Probe.create(shared_system, probe_image, "json", json_framing=framing)
    assert (await probe.report())["frame"]["lines"] == lines


@pytest.mark.parametrize("wire_format", HOT)
async def test_a_reply_that_drips_is_read_to_its_end(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format)
    answer = await probe.call(b"drop by drop" * 100, drip=0.05)
    assert (answer.status, answer.body) == (200, b"drop by drop" * 100)


async def test_a_chunked_reply_is_joined(shared_system: System, probe_image: str) -> None:
    probe = await Probe.create(shared_system, probe_image, "http")
    body = ALL_BYTES * 20
    answer = await probe.call(body, chunked=1)
    assert answer.body == body
    await probe.record(answer.call_id)
    assert (await probe.report())["served"] == 2


async def test_an_answer_to_head_has_no_body_and_leaves_the_container_usable(
    shared_system: System, probe_image: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, "http")
    head = await probe.call(method="HEAD", size=1000)
    assert (head.status, head.body) == (200, b"")
    await probe.record(head.call_id)
    assert (await probe.report())["served"] == 2


@pytest.mark.parametrize("wire_format", HOT)
async def test_async_calls_of_hot_functions_leave_result_and_log(
    shared_system: System, probe_image: str, wire_format: str
) -> None:
    probe = await Probe.create(shared_system, probe_image, wire_format, type="async")
    path = f"/r/e2e{probe.path}?log=seen"
    call_ids = [await shared_system.submit(path, b"body %d" % number) for number in range(3)]
    calls = await shared_system.finished(call_ids)
    assert {call["status"] for call in calls} == {"success"}
    for number, call_id in enumerate(call_ids):
        assert await shared_system.result(call_id) == b"body %d" % number
        assert await shared_system.log(call_id) == "seen\n"


@pytest.mark.parametrize(
    ("wire_format", "fields"),
    [
        ("http", {}),
        ("json", {"json_framing": "line"}),
        ("json", {"json_framing": "universal"}),
        ("json", {"body_encoding": "base64"}),
    ],
)
async def test_the_example_functions_work(
    shared_system: System, echo_images: dict[str, str], wire_format: str, fields: dict[str, str]
) -> None:
    probe = await Probe.create(shared_system, echo_images[wire_format], wire_format, **fields)
    for body in (b"", "größer\n".encode(), b"x" * 2**20):
        answer = await probe.call(body, headers={"Content-Type": "text/x-tea"})
        assert (answer.status, answer.body) == (200, body)
        assert (answer.headers["Content-Type"], answer.headers["X-Echo"]) == ("text/x-tea", wire_format)
