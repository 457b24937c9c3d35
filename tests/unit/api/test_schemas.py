import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest

from api.schemas import app_json, call_json, decode_app, decode_route, decode_token, route_json, timestamp
from common.errors import AppsMissingNewError, InvalidJSONError, RoutesMissingNewError, UnknownFieldError
from common.models import App, Call, CallStat, CallStatus, Reason, RetryPolicy, Route, new_id

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
    assert decode_route(body, "app").value == Route(
        app_name="app", path="/p", image="i", timeout=5, headers={"A": [], "B": ["x", ""]}
    )
    assert decode_app(b'{"app":{"name":null,"config":{"k":null}}}').value == App(config={"k": ""})


def test_keys_of_config_and_headers_keep_their_case() -> None:
    assert decode_app(b'{"app":{"config":{"k":"1","K":"2"}}}').value.config == {"k": "1", "K": "2"}


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
    ("body", "field", "said"),
    [
        (b"", "route", "the body is empty"),
        (b"{", "route", "truncated"),
        (b"[]", "route", "route must be an object, not a list"),
        (b'{"route":[]}', "route", "route must be an object, not a list"),
        (b'{"route":"x\\u001b[2J"}', "route", r'route must be an object, not "x\u001b[2J"'),
        (b'{"route":{"memory":"128"}}', "route.memory", 'route.memory must be a whole number, not "128"'),
        (b'{"route":{"Memory":-1}}', "route.memory", "route.memory must be a whole number >= 0, not -1"),
        (b'{"route":{"timeout":1.5}}', "route.timeout", "route.timeout must be a whole number, not 1.5"),
        (b'{"route":{"public":"yes"}}', "route.public", 'route.public must be true or false, not "yes"'),
        (b'{"route":{"headers":[]}}', "route.headers", "route.headers must be an object, not a list"),
        (b'{"route":{"image":{"a":1}}}', "route.image", "route.image must be text, not an object"),
        (b'{"route":{"headers":{"X-A":["1"],"X-B":"2"}}}', "route.headers.X-B", 'must be a list, not "2"'),
        (b'{"route":{"headers":{"X-A":["1",2]}}}', "route.headers.X-A", "must be text, not a whole number"),
        (b'{"route":{"config":{"A":"1","B":2,"C":3}}}', "route.config.B", "must be text, not 2"),
        (b'{"route":{"config":{"' + b"k" * 200 + b'":2}}}', ("route.config." + "k" * 200)[:100], "not 2"),
        (b'{"route":{"retry":"always"}}', "route.retry", 'route.retry must be an object, not "always"'),
        (b'{"route":{"path":"/a","path":"/b"}}', "path", 'the key "path" comes twice'),
        (b'{"route":{"path":"/a","PATH":"/b"}}', "path", 'the key "path" comes twice'),
        (b'{"route":{},"Route":{}}', "route", 'the key "route" comes twice'),
    ],
)
def test_what_is_wrong_in_a_body_is_named_with_what_came_and_what_is_wanted(
    body: bytes, field: str, said: str
) -> None:
    with pytest.raises(InvalidJSONError) as caught:
        decode_route(body, "app")
    assert caught.value.field == field
    assert caught.value.message.startswith("Invalid JSON: ")
    assert caught.value.message.isprintable()
    assert said in caught.value.message


def test_a_long_value_is_cut() -> None:
    with pytest.raises(InvalidJSONError) as caught:
        decode_route(b'{"route":{"memory":"' + b"9" * 100_000 + b'"}}', "app")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"typ":"async"}', "route.typ", "Unknown field, ignored. Did you mean type?"),
        (b'{"retires":{"max_attempts":3}}', "route.retires", "Unknown field, ignored. Did you mean retry?"),
        (b'{"Max-Age":3}', "route.Max-Age", "Unknown field, ignored. Did you mean max_age?"),
        (b'{"pubic":true}', "route.pubic", "Unknown field, ignored. Did you mean public?"),
        (b'{"zzz":1}', "route.zzz", "Unknown field, ignored."),
    ],
)
def test_what_fn_ignores_in_a_route_is_ignored_and_told(body: bytes, field: str, said: str) -> None:
    decoded = decode_route(b'{"route":%b}' % body, "app")
    assert decoded.value == Route(app_name="app")
    assert [(one.field, one.message) for one in decoded.warnings] == [(field, said)]


def test_what_the_api_shows_may_be_sent_back() -> None:
    shown = msgspec.to_builtins(
        route_json(Route(app_name="a", public=True, retry=RetryPolicy()).set_defaults(NOON))
    )
    assert decode_route(json.dumps({"message": "x", "route": shown}).encode(), "a").warnings == []
    shown = msgspec.to_builtins(app_json(App(name="a").set_defaults(NOON)))
    assert decode_app(json.dumps({"message": "x", "app": shown}).encode()).warnings == []


def test_a_bounded_number_of_unknown_fields_is_told() -> None:
    body = json.dumps({"app": {f"{number}": 1 for number in range(5000)}}).encode()
    assert len(decode_app(body).warnings) == 20


@pytest.mark.parametrize("name", ["max_attempt", "Max_Attempts", "x" * 1000])
def test_an_unknown_member_of_an_object_of_ours_is_refused(name: str) -> None:
    body = json.dumps({"route": {"retry": {name: 3}}}).encode()
    with pytest.raises(UnknownFieldError) as caught:
        decode_route(body, "app")
    assert caught.value.field.startswith(f"route.retry.{name}"[:90])
    assert len(caught.value.message) < 300
    assert "max_attempts" in caught.value.message


def test_a_token_has_no_other_members() -> None:
    with pytest.raises(UnknownFieldError, match="Did you mean scope"):
        decode_token(b'{"name":"x","scop":"admin"}')


def test_a_misspelt_wrapper_is_shown() -> None:
    with pytest.raises(RoutesMissingNewError, match="but the body has rout"):
        decode_route(b'{"rout":{}}', "app")


def test_what_is_empty_is_left_out() -> None:
    assert wire(app_json(App(name="a", created_at=NOON))) == {
        "name": "a",
        "created_at": "2018-01-10T12:00:00.009Z",
    }
    shown = wire(route_json(Route(app_name="a", path="/p", image="i", writable_root=False)))
    assert set(shown) == {"app_name", "path", "image", "memory", "type", "format", "timeout", "idle_timeout"}
    assert wire(route_json(Route(writable_root=True)))["writable_root"] is True
    assert not {"json_framing", "body_encoding", "network"} & set(
        wire(route_json(Route().set_defaults(NOON)))
    )
    shown = wire(route_json(Route(json_framing="line", body_encoding="base64", network="none")))
    assert (shown["json_framing"], shown["body_encoding"], shown["network"]) == ("line", "base64", "none")


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
