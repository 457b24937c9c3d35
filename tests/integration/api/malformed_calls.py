"""Malformed reading, calling, and asking in somebody else's name, one a line. test_malformed.py sends them.

Calls that are submitted as JSON have their own table, in test_submissions.py, and choices of dead ones in test_dead.py.
"""

from tests.integration.api.malformed import ARABIC_ONE, Bad

BODY_MAX_BYTES = 10_000


def a_header(header: str, value: str, code: str, message: str = "", path: str = "/r/app/later") -> Bad:
    status = 403 if code.startswith("foreign_") else 400
    name = f"{header}: {value!a} at {path}"
    return Bad(name, f"POST {path}", b"x", status, code, header, {header: value}, message)


def unknown(name: str, request: str) -> Bad:
    return Bad(name, request, b"", 404, "path_not_found")


def wrong_method(name: str, request: str) -> Bad:
    return Bad(name, request, b"", 405, "method_not_allowed")


READING = [
    Bad("an app with a NUL", "GET /v1/apps/%00", b"", 404, "app_not_found"),
    Bad("an app with a slash", "GET /v1/apps/a%2Fb", b"", 404, "app_not_found"),
    Bad("an app that is no UTF-8", "GET /v1/apps/%FF", b"", 404, "app_not_found"),
    Bad("a call that is no id", "GET /v1/apps/app/calls/dummy", b"", 404, "call_not_found"),
    Bad("a call with a NUL", "GET /v1/apps/app/calls/%00", b"", 404, "call_not_found"),
    Bad("the log of no id", "GET /v1/apps/app/calls/1/log", b"", 404, "call_log_not_found"),
    Bad("the result of no id", "GET /v1/apps/app/calls/1/result", b"", 404, "call_not_found"),
    Bad("a path with a NUL to filter by", "GET /v1/apps/x/calls?path=%00", b"", 404, "app_not_found"),
    Bad(
        "an image with a NUL to filter by",
        "GET /v1/apps/x/routes?image=%00&cursor=AAAA",
        b"",
        404,
        "app_not_found",
    ),
    Bad(
        "a log as a page",
        "GET /v1/apps/app/calls/CALL/log",
        b"",
        406,
        "not_acceptable",
        "Accept",
        {"Accept": "text/html"},
    ),
    *(
        Bad(f"{name} {value!r}", f"GET /v1/apps/app/calls?{name}={value}", b"", 400, f"{name}_invalid", name)
        for name in ("from_time", "to_time")
        for value in ("xx", "1.5", "1_0", "1e3", "2026-01-01T00:00:00Z", str(2**63), "%D9%A1")
    ),
    *(
        Bad(f"limit {value!r}", f"GET /v1/queue/head?limit={value}", b"", 400, "limit_invalid", "limit")
        for value in ("", "0", "501", "-1", "ten", "1e2", "9" * 30)
    ),
    Bad("a cursor that is no id", "GET /v1/dead?cursor=x", b"", 400, "cursor_invalid", "cursor"),
    Bad("an app of dead calls that is not there", "GET /v1/dead?app=x%00", b"", 404, "app_not_found"),
    *(
        Bad(f"an unknown parameter: {request}", request, b"", 400, "unknown_parameter", "limt")
        for request in (
            "GET /v1/queue/head?limt=3",
            "POST /v1/queue/pause?limt=",
            "GET /v1/dead?limt=3",
            "GET /v1/workers?limt=3",
            "GET /v1/tokens?limt=3",
            "GET /v1/apps/app/calls/CALL/result?limt=3",
            "DELETE /v1/apps/app/calls/CALL?limt=3",
            "POST /v1/apps/app/calls?limt=3",
        )
    ),
    wrong_method("a method that apps have not", "PUT /v1/apps"),
    wrong_method("a method that an app has not", "POST /v1/apps/app"),
    wrong_method("a method that calls have not", "PUT /v1/apps/app/calls"),
    wrong_method("a method that a call has not", "PATCH /v1/apps/app/calls/CALL"),
    wrong_method("a method that is nobody's", "PROPFIND /v1/apps"),
    wrong_method("options", "OPTIONS /v1/apps"),
    wrong_method("a look at the pause", "GET /v1/queue/pause"),
    wrong_method("the head of apps", "HEAD /v1/apps"),
    unknown("what was never there", "GET /v1/nothing%20here"),
    unknown("a path that climbs", "GET /v1/../version"),
    unknown("a path that climbs, escaped", "GET /v1/%2e%2e/%2e%2e/etc/passwd"),
    unknown("another host's path", "GET //evil.example/"),
    unknown("no more than /r", "POST /r"),
]
CALLING = [
    Bad("an empty app to call", "POST /r//x", b"", 400, "app_name_missing", "app.name"),
    Bad("an app of NUL to call", "POST /r/%00/%00", b"", 404, "app_not_found"),
    Bad("a path that climbs out of the app", "POST /r/app/../../v1/apps", b"", 404, "route_not_found"),
    Bad("a body too large", "POST /r/app/later", b"x" * (BODY_MAX_BYTES + 1), 413, "body_too_large"),
    Bad("a body that JSON can't carry", "POST /r/app/json", b"\xff", 415, "body_not_text"),
    a_header("Millrace-Priority", "3", "priority_invalid"),
    *(
        a_header("Millrace-Priority", value, "priority_invalid", "Millrace-Priority is not a number in 0..2")
        for value in ("-1", "+1", "1.0", "one", "", ARABIC_ONE, "1 2", "0x1", "9" * 20)
    ),
    a_header("Millrace-Delay", "2592001", "delay_invalid"),
    *(
        a_header("Millrace-Delay", value, "delay_invalid", "Millrace-Delay is not a number in 0..2592000")
        for value in ("-1", "1.5", "1s", "", "1e3", "NaN", ARABIC_ONE, "9" * 20)
    ),
    *(
        a_header(name, "1", code, f"{name} is for async calls only", "/r/app/now")
        for name, code in (("Millrace-Priority", "priority_invalid"), ("Millrace-Delay", "delay_invalid"))
    ),
]
WHO = [
    *(
        a_header("Host", value, "foreign_host")
        for value in ("evil.example", "localhost.evil.example", "127.0.0.2", "localhost:x", "::1", "[::1")
    ),
    *(
        a_header("Origin", value, "foreign_origin")
        for value in ("http://evil.example", "null", "http://localhost", "http://localhost:1.evil.example")
    ),
    a_header("Sec-Fetch-Site", "cross-site", "foreign_origin"),
    a_header("Sec-Fetch-Site", "same-site", "foreign_origin"),
]
REQUESTS = [*READING, *CALLING, *WHO]
