from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest

from api.schemas import app_json, call_json, decode_app, decode_route, route_json, timestamp
from common.errors import AppsMissingNewError, InvalidJSONError, RoutesMissingNewError
from common.models import App, Call, CallStat, CallStatus, Reason, Route, new_id

NOON = datetime(2018, 1, 10, 12, 0, 0, 9_999, tzinfo=UTC)


def wire(shown: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(shown))


def test_an_instant_has_three_digits_cut_off_and_z() -> None:
    assert timestamp(NOON) == "2018-01-10T12:00:00.009Z"
    assert timestamp(datetime(2018, 1, 10, 12, tzinfo=UTC)) == "2018-01-10T12:00:00.000Z"


def test_an_instant_of_another_zone_is_shown_in_utc() -> None:
    assert timestamp(NOON.astimezone(timezone(timedelta(hours=2)))) == "2018-01-10T12:00:00.009Z"


def test_keys_of_any_case_are_read_and_null_is_absent() -> None:
    body = b'{"ROUTE":{"Path":"/p","IMAGE":"i","Timeout":5,"idle_TIMEOUT":null,"headers":{"A":null,"B":["x",null]}}}'
    assert decode_route(body, "app") == Route(
        app_name="app", path="/p", image="i", timeout=5, headers={"A": [], "B": ["x", ""]}
    )
    assert decode_app(b'{"app":{"name":null,"config":{"k":null}}}') == App(config={"k": ""})


def test_keys_of_config_and_headers_keep_their_case() -> None:
    assert decode_app(b'{"app":{"config":{"k":"1","K":"2"}}}').config == {"k": "1", "K": "2"}


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"app":null}', b'{"route":{}}'])
def test_a_missing_wrapper_is_named(body: bytes) -> None:
    with pytest.raises(AppsMissingNewError):
        decode_app(body)
    with pytest.raises(RoutesMissingNewError):
        decode_route(b'{"app":{}}', "app")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"app":{"name":"a","name":"b"}}',
        b'{"x":[{"a":1,"a":2}],"app":{}}',
        b'{"app":{}}x',
        b'{"app":NaN}',
    ],
)
def test_what_is_not_one_sound_value_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJSONError):
        decode_app(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "route"),
        (b"[]", "route"),
        (b'{"route":[]}', "route"),
        (b'{"route":{"memory":"128"}}', "route.memory"),
        (b'{"route":{"Memory":-1}}', "route.memory"),
        (b'{"route":{"timeout":1.5}}', "route.timeout"),
        (b'{"route":{"headers":[]}}', "route.headers"),
        (b'{"route":{"image":{"a":1}}}', "route.image"),
        (b'{"route":{"headers":{"X-A":["1"],"X-B":"2"}}}', "route.headers.X-B"),
        (b'{"route":{"headers":{"X-A":["1",2]}}}', "route.headers.X-A"),
        (b'{"route":{"config":{"A":"1","B":2,"C":3}}}', "route.config.B"),
        (b'{"route":{"config":{"' + b"k" * 200 + b'":2}}}', ("route.config." + "k" * 200)[:100]),
        (b'{"route":{"path":"/a","path":"/b"}}', "path"),
        (b'{"route":{"path":"/a","PATH":"/b"}}', "path"),
        (b'{"route":{},"Route":{}}', "route"),
    ],
)
def test_what_is_wrong_in_a_body_is_named(body: bytes, field: str) -> None:
    with pytest.raises(InvalidJSONError) as caught:
        decode_route(body, "app")
    assert (caught.value.message, caught.value.field) == ("Invalid JSON", field)


def test_what_is_empty_is_left_out() -> None:
    assert wire(app_json(App(name="a", created_at=NOON))) == {
        "name": "a",
        "created_at": "2018-01-10T12:00:00.009Z",
    }
    shown = wire(route_json(Route(app_name="a", path="/p", image="i", writable_root=False)))
    assert set(shown) == {"app_name", "path", "image", "memory", "type", "format", "timeout", "idle_timeout"}
    assert wire(route_json(Route(writable_root=True)))["writable_root"] is True
    assert not {"json_framing", "body_encoding"} & set(wire(route_json(Route().set_defaults(NOON))))
    shown = wire(route_json(Route(json_framing="line", body_encoding="base64")))
    assert (shown["json_framing"], shown["body_encoding"]) == ("line", "base64")


def test_a_call_shows_a_time_limit_of_its_own() -> None:
    assert "timeout" not in wire(call_json(Call(id=new_id())))
    assert wire(call_json(Call(id=new_id(), timeout=7)))["timeout"] == 7


def test_a_call_never_shows_its_input() -> None:
    call = Call(
        id=new_id(),
        status=CallStatus.ERROR,
        reason=Reason.KILLED,
        payload=b"secret",
        headers={"k": ["secret"]},
        base_env={"k": "secret"},
        env_vars={"k": "secret"},
        url="http://localhost/?secret",
        stats=(CallStat(timestamp=NOON, metrics={"mem_usage": 1}),),
    )
    shown = wire(call_json(call))
    assert "secret" not in str(shown)
    assert shown["stats"] == [{"timestamp": "2018-01-10T12:00:00.009Z", "metrics": {"mem_usage": 1}}]
    assert (shown["reason"], shown["priority"], shown["attempt"]) == ("killed", 0, 0)


def test_members_come_in_one_order() -> None:
    app = App(name="a", config={"k": "v"}, created_at=NOON, updated_at=NOON)
    instant = b'"2018-01-10T12:00:00.009Z"'
    assert msgspec.json.encode(app_json(app)) == (
        b'{"name":"a","config":{"k":"v"},"created_at":%b,"updated_at":%b}' % (instant, instant)
    )
    route = Route(app_name="a", path="/p", image="i", headers={"h": ["v"]}, config={"k": "v"}, public=True)
    assert msgspec.json.encode(route_json(route.set_defaults(NOON))) == (
        b'{"app_name":"a","path":"/p","image":"i","memory":128,"headers":{"h":["v"]},"type":"sync",'
        b'"format":"default","timeout":30,"idle_timeout":30,"config":{"k":"v"},"public":true,'
        b'"created_at":%b,"updated_at":%b}' % (instant, instant)
    )
    call = Call(
        id=UUID(int=1),
        status=CallStatus.ERROR,
        reason=Reason.BAD_EXIT,
        detail="exit_code",
        error="text",
        exit_code=0,
        app_name="a",
        path="/p",
        type="async",
        delay=1,
        cold=False,
        created_at=NOON,
        due_at=NOON,
        claimed_at=NOON,
        started_at=NOON,
        completed_at=NOON,
    )
    assert msgspec.json.encode(call_json(call)) == (
        b'{"id":"00000000-0000-0000-0000-000000000001","status":"error","reason":"bad_exit",'
        b'"detail":"exit_code","error":"text","exit_code":0,"app_name":"a","path":"/p","type":"async",'
        b'"priority":0,"delay":1,"attempt":0,"cold":false,"created_at":%b,"due_at":%b,"claimed_at":%b,'
        b'"started_at":%b,"completed_at":%b}' % ((instant,) * 5)
    )
