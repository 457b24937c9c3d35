from multidict import CIMultiDict, CIMultiDictProxy

from api.headers import answer_headers, function_headers
from common.models import new_id


def passed(*headers: tuple[str, str]) -> dict[str, list[str]]:
    return function_headers(CIMultiDictProxy(CIMultiDict(headers)))


def test_headers_keep_order_values_and_first_spelling() -> None:
    assert passed(("X-A", "1"), ("x-a", "2"), ("B", "")) == {"X-A": ["1", "2"], "B": [""]}


def test_headers_of_the_connection_stay_behind() -> None:
    assert (
        passed(
            ("Connection", "close, X-Private"),
            ("x-private", "1"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Proxy-Authorization", "x"),
            ("Host", "localhost"),
            ("Authorization", "Bearer x"),
            ("Expect", "100-continue"),
            ("Cookie", "session=1"),
        )
        == {}
    )


def test_cookies_pass_where_the_origin_is_the_functions_own() -> None:
    headers = CIMultiDictProxy(CIMultiDict([("Cookie", "a=1"), ("Authorization", "Bearer x")]))
    assert function_headers(headers, with_cookies=True) == {"Cookie": ["a=1"]}


def test_no_header_can_pose_as_what_the_platform_sets() -> None:
    for name in ("FN_PATH", "fn-path", "Fn_Call-Id", "fn-header-x", "Millrace-Delay", "MILLRACE_PRIORITY"):
        assert passed((name, "forged")) == {}
    assert set(passed(("Fnord", "1"), ("X-Fn-Path", "2"), ("Millracer", "3"))) == {
        "Fnord",
        "X-Fn-Path",
        "Millracer",
    }


def test_a_trace_passes_also_one_that_is_none() -> None:
    for trace in ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "not a trace"):
        assert passed(("traceparent", trace), ("tracestate", "a=1")) == {
            "traceparent": [trace],
            "tracestate": ["a=1"],
        }


def test_bytes_that_are_no_utf8_are_latin1() -> None:
    assert passed(("X", b"J\xf6rg".decode("utf-8", "surrogateescape"))) == {"X": ["Jörg"]}
    assert passed(("X", "Jörg")) == {"X": ["Jörg"]}


def test_a_route_sets_neither_framing_nor_the_id() -> None:
    call_id = new_id()
    given = {
        "X-A": ["1", "2"],
        "content-length": ["9"],
        "Transfer-Encoding": ["chunked"],
        "FN_CALL_ID": ["x"],
        "WWW-Authenticate": ["Basic"],
    }
    assert answer_headers(call_id, given) == [("Fn_call_id", str(call_id)), ("X-A", "1"), ("X-A", "2")]
