"""Which headers pass: from a request to its function, and from a route and a function to the answers of its calls.

To the function: all but those of the connection, those addressed to the api (Host, Authorization, Millrace-*), and
those that could pose as the environment that the platform sets (FN_*, with ``-`` and ``_`` alike).
"""

from collections.abc import Iterable
from uuid import UUID

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from common.models import Headers
from common.models.route import validate_headers

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Cookies are of the whole origin: of the api, of what stands in front of it, and on loopback of any other port.
_FOR_THE_API = frozenset({"host", "authorization", "expect"})
_COOKIES = frozenset({"cookie", "cookie2"})
_RESERVED_PREFIXES = ("fn_", "millrace_")
# What frames or describes the api's own body; a route's value would make it unreadable.
_OF_THE_BODY = frozenset({"content-length", "content-encoding", "content-range", "date"})
# Asks for a password of this origin, which no function would ever get: Authorization is addressed to the api.
_ASKS_FOR_LOGIN = frozenset({"www-authenticate"})

_NOT_A_FUNCTIONS = HOP_BY_HOP | _ASKS_FOR_LOGIN | {"content-length", "date", "fn_call_id"}
_NOT_A_ROUTES = HOP_BY_HOP | _ASKS_FOR_LOGIN | _OF_THE_BODY | {"fn_call_id"}

ANSWER_HEADERS: web.RequestKey[list[tuple[str, str]]] = web.RequestKey("answer_headers")


def function_headers(headers: CIMultiDictProxy[str], *, with_cookies: bool = False) -> Headers:
    """The request's headers as the function gets them: name → values, a name in the spelling that came first."""
    named_by_connection = {
        name.strip().lower() for value in headers.getall("Connection", []) for name in value.split(",")
    }
    dropped = HOP_BY_HOP | _FOR_THE_API | named_by_connection
    if not with_cookies:
        dropped |= _COOKIES
    passed: Headers = {}
    spelling: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key not in dropped and not key.replace("-", "_").startswith(_RESERVED_PREFIXES):
            passed.setdefault(spelling.setdefault(key, name), []).append(_text(value))
    return passed


def answer_headers(call_id: UUID, route_headers: Headers) -> list[tuple[str, str]]:
    """What every answer carries once a route was found: the call's id, spelt as Fn v1's, and the route's headers."""
    return [("Fn_call_id", str(call_id)), *allowed_headers(route_headers)]


def allowed_headers(route_headers: Headers) -> Iterable[tuple[str, str]]:
    """The route's headers that may stand in an answer."""
    for name, values in route_headers.items():
        if name.lower() not in _NOT_A_ROUTES:
            yield from ((name, value) for value in values)


def passed_headers(headers: Headers) -> CIMultiDict[str]:
    """The headers of a function's answer that pass, one Content-Type among them.

    Raises InvalidHeadersError for what HTTP can't carry.
    """
    passed: CIMultiDict[str] = CIMultiDict()
    if not headers:
        return passed
    validate_headers(headers)
    for name, values in headers.items():
        key = name.lower()
        if key == "content-type":
            passed.update((name, value) for value in values[-1:])
        elif key not in _NOT_A_FUNCTIONS:
            passed.extend((name, value) for value in values)
    return passed


def _text(value: str) -> str:
    """Header bytes that are no UTF-8 arrive as surrogates, which can't be stored: then they are Latin-1."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value
