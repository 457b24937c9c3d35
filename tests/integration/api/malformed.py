"""Malformed apps and routes, one a line. test_malformed.py sends them."""

from collections.abc import Mapping
from typing import NamedTuple

DEEP = b"[" * 100_000 + b"]" * 100_000
ARABIC_ONE = "\u0661"  # a digit to int(), not to us


class Bad(NamedTuple):
    """``request``: method and target; CALL in it stands for the id of a finished call.

    ``message``: how it begins; without it as the message that the code usually has.
    """

    name: str
    request: str
    body: object
    status: int
    code: str
    field: str = ""
    headers: Mapping[str, str] = {}
    message: str = ""


def app_json(name: str, body: bytes, field: str = "app") -> Bad:
    return Bad(name, "POST /v1/apps", body, 400, "invalid_json", field)


def an_app(name: str, code: str, field: str, /, **fields: object) -> Bad:
    return Bad(name, "POST /v1/apps", {"app": {"name": "new"} | fields}, 400, code, field)


def a_route(name: str, code: str, field: str, /, **fields: object) -> Bad:
    body = {"route": {"path": "/new", "image": "i"} | fields}
    return Bad(name, "POST /v1/apps/new/routes", body, 400, code, f"route.{field}")


def a_route_at(name: str, path: str, code: str, field: str = "route.path") -> Bad:
    return Bad(name, f"PUT /v1/apps/{path}", {"route": {"image": "i"}}, 400, code, field)


JSON = [
    app_json("no body", b""),
    app_json("a blank", b" "),
    app_json("an object cut off", b'{"app":{"name":"x"}'),
    app_json("an array", b"[]"),
    app_json("a number", b"1"),
    app_json("a string", b'"app"'),
    app_json("a form", b"app=x&name=y"),
    app_json("the wrapper an array", b'{"app":[]}'),
    app_json("the wrapper a string", b'{"app":"x"}'),
    app_json("a number for a name", b'{"app":{"name":1}}', "app.name"),
    app_json("an array for config", b'{"app":{"name":"x","config":[]}}', "app.config"),
    app_json("a number in config", b'{"app":{"name":"x","config":{"a":1}}}', "app.config.a"),
    app_json("trailing bytes", b'{"app":{"name":"x"}} trailing'),
    app_json("two values", b'{"app":{"name":"x"}}{"app":{"name":"y"}}'),
    app_json("the wrapper twice", b'{"app":{"name":"x"},"app":{"name":"y"}}'),
    app_json("the wrapper twice, in two cases", b'{"app":{"name":"x"},"APP":{"name":"y"}}'),
    app_json("a key twice, in two cases", b'{"app":{"name":"x","Name":"y"}}', "name"),
    app_json("a key of config twice", b'{"app":{"name":"x","config":{"a":"1","a":"2"}}}', "a"),
    app_json("a key of what is ignored twice", b'{"app":{"name":"x"},"y":{"a":1,"a":2}}', "a"),
    app_json("NaN", b'{"app":{"name":"x","extra":NaN}}'),
    app_json("Infinity", b'{"app":{"name":"x","extra":-Infinity}}'),
    app_json("a number that is no double", b'{"app":{"name":"x","extra":1e999}}'),
    app_json("a number of 5000 digits", b'{"app":{"name":"x","extra":' + b"9" * 5000 + b"}}"),
    app_json("a number with a zero before it", b'{"app":{"name":"x","extra":01}}'),
    app_json("a comment", b'{"app":{"name":"x"}/*y*/}'),
    app_json("single quotes", b"{'app':{'name':'x'}}"),
    app_json("a hundred thousand brackets", b'{"app":{"name":"x","extra":' + DEEP + b"}}"),
    app_json("bytes that are no UTF-8", b'{"app":{"name":"\xff"}}'),
    app_json("half of a surrogate pair", b'{"app":{"name":"x","config":{"a":"\\ud800"}}}'),
    app_json("a byte order mark", b'\xef\xbb\xbf{"app":{"name":"x"}}'),
    app_json("UTF-16", '{"app":{"name":"x"}}'.encode("utf-16")),
    app_json("a raw line break in a string", b'{"app":{"name":"x\ny"}}'),
    Bad("more than a management body may have", "POST /v1/apps", b" " * (2**20 + 1), 413, "body_too_large"),
    Bad("no app in it", "POST /v1/apps", b'{"name":"x"}', 400, "app_missing", "app"),
    Bad("null", "PATCH /v1/apps/app", b"null", 400, "app_missing", "app"),
    Bad("no route in it", "PUT /v1/apps/app/routes/p", b'{"app":{}}', 400, "route_missing", "route"),
]
APPS = [
    an_app("no name", "app_name_missing", "app.name", name=""),
    an_app("a name of 31 bytes", "app_name_too_long", "app.name", name="x" * 31),
    an_app("a name of 16 letters in 32 bytes", "app_name_too_long", "app.name", name="ä" * 16),
    an_app("signs for a name", "app_name_invalid", "app.name", name="&&%@!#$#@$"),
    an_app("a name with a NUL", "app_name_invalid", "app.name", name="a\0"),
    an_app("a name with a line break", "app_name_invalid", "app.name", name="a\n"),
    an_app("a name that climbs", "app_name_invalid", "app.name", name="../x"),
    an_app("a name with a blank", "app_name_invalid", "app.name", name="a b"),
    an_app("digits of another script", "app_name_invalid", "app.name", name=ARABIC_ONE),
    an_app("a variable without a name", "config_invalid", "app.config.''", config={"": "1"}),
    an_app("a variable with =", "config_invalid", "app.config.'a=b'", config={"a=b": "1"}),
    an_app("a variable with a NUL", "config_invalid", "app.config.'a'", config={"a": "\0"}),
    an_app("a variable too large", "config_invalid", "app.config.'a'", config={"a": "x" * 2**16})._replace(
        message="A config key and its value may have 65536 bytes together"
    ),
    an_app(
        "an environment too large",
        "config_invalid",
        "app.config",
        config=dict.fromkeys("abcdefghi", "x" * 60_000),
    )._replace(message="The config of an app and its route may have 524288 bytes together"),
    Bad("another name", "PATCH /v1/apps/app", {"app": {"name": "b"}}, 409, "app_name_immutable", "app.name"),
]
ROUTES = [
    a_route("no path", "route_path_missing", "path", path=""),
    a_route("a relative path", "route_path_invalid", "path", path="new"),
    a_route("a parameter", "route_dynamic_url", "path", path="/:name"),
    a_route("a parameter, escaped", "route_dynamic_url", "path", path="/%3Aname"),
    a_route("a bad escape", "path_malformed", "path", path="/%zz"),
    a_route("an escape cut off", "path_malformed", "path", path="/a%4"),
    a_route("a NUL in the path", "path_malformed", "path", path="/a\0b"),
    a_route("a line break in the path", "path_malformed", "path", path="/a%0ab"),
    a_route("bytes in the path that are no UTF-8", "path_malformed", "path", path="/%ff"),
    a_route("a query", "route_path_invalid", "path", path="/a?b=c"),
    a_route("a fragment", "route_path_invalid", "path", path="/a#b"),
    a_route("a host", "route_dynamic_url", "path", path="http://evil.example/a"),
    a_route("a path too long", "route_path_invalid", "path", path="/" + "p" * 256),
    a_route("no image", "route_image_missing", "image", image=""),
    a_route("no image reference", "route_image_invalid", "image", image="Hello World"),
    a_route("a command for an image", "route_image_invalid", "image", image="$(id)"),
    a_route("an image that climbs", "route_image_invalid", "image", image="../x"),
    a_route("an unknown type", "route_type_invalid", "type", type="Sync"),
    a_route("an unknown format", "route_format_invalid", "format", format="cloudevent"),
    a_route("a negative timeout", "route_timeout_invalid", "timeout", timeout=-1),
    a_route("a sync timeout too long", "route_timeout_invalid", "timeout", timeout=121),
    a_route("an async timeout too long", "route_timeout_invalid", "timeout", type="async", timeout=3601),
    a_route("a timeout of 33 bits", "invalid_json", "timeout", timeout=2**32),
    a_route("a timeout of 1.5 s", "invalid_json", "timeout", timeout=1.5),
    a_route("a timeout in words", "invalid_json", "timeout", timeout="30"),
    a_route("true for a timeout", "invalid_json", "timeout", timeout=True),
    a_route("a negative idle timeout", "route_idle_timeout_invalid", "idle_timeout", idle_timeout=-1),
    a_route("an idle timeout too long", "route_idle_timeout_invalid", "idle_timeout", idle_timeout=3601),
    a_route("memory beyond the largest", "route_memory_invalid", "memory", memory=8193),
    a_route("negative memory", "invalid_json", "memory", memory=-1),
    a_route("memory of 65 bits", "invalid_json", "memory", memory=2**64),
    a_route("a header that is no list", "invalid_json", "headers.a", headers={"a": "b"}),
    a_route("a header with a blank", "route_headers_invalid", "headers.'a b'", headers={"a b": ["c"]}),
    a_route("a header in a header", "route_headers_invalid", "headers.'a'", headers={"a": ["b\r\nc: d"]}),
    a_route("headers too large", "route_headers_invalid", "headers", headers={"a": ["x" * 2**16]})._replace(
        message="Route headers may have 65536 bytes together"
    ),
    a_route("a framing that is none", "route_json_framing_invalid", "json_framing", json_framing="x"),
    a_route("an encoding that is none", "route_body_encoding_invalid", "body_encoding", body_encoding="hex"),
    a_route("a network that is none", "route_network_invalid", "network", network="host"),
    a_route("a word for a flag", "invalid_json", "writable_root", writable_root="yes"),
    *(
        a_route(f"{field}: {value}", "route_retry_invalid", f"retry.{field}", retry={field: value})._replace(
            message=f"retry.{field} m"
        )
        for field, value in (
            ("max_attempts", 99),
            ("backoff", 0),
            ("backoff_max", 2**70),
            ("on", ["boredom"]),
        )
    ),
    a_route("a misspelt policy", "unknown_field", "retry.max_attempt", retry={"max_attempt": 3}),
    a_route("a word for retries", "invalid_json", "retry", retry="always"),
    *(
        a_route(f"an age of {age} s", "route_max_age_invalid", "max_age", max_age=age)
        for age in (-1, 30 * 24 * 3600 + 1)
    ),
    a_route_at("an escape of an escape", "new/routes/%2541", "route_path_invalid"),
    a_route_at("an escape of a bad escape", "new/routes/%25zz", "path_malformed"),
    a_route_at("an escaped NUL", "new/routes/%00", "path_malformed"),
    a_route_at("an escape that is no UTF-8", "new/routes/%FF", "path_malformed"),
    a_route_at("an escaped query", "new/routes/%3Fx", "route_path_invalid"),
    a_route_at("a parameter in the URL", "new/routes/:x", "route_dynamic_url"),
    a_route_at("a URL too long for a path", "new/routes/" + "p" * 300, "route_path_invalid"),
    a_route_at("a bad app", "%24/routes/p", "app_name_invalid", "app.name"),
    a_route_at("an empty app", "/routes/p", "app_name_missing", "app.name"),
    Bad(
        "another path",
        "PUT /v1/apps/app/routes/later",
        {"route": {"path": "/x"}},
        409,
        "route_path_immutable",
        "route.path",
    ),
    Bad(
        "a change too long",
        "PATCH /v1/apps/app/routes/now",
        {"route": {"timeout": 121}},
        400,
        "route_timeout_invalid",
        "route.timeout",
    ),
]
DEFINITIONS = [*JSON, *APPS, *ROUTES]
