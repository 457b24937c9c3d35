"""What formats tell a function about its call, and which headers pass between it and its caller.

Names are compared without case and with ``-`` and ``_`` alike, as functions read them. A header that HTTP could not
carry is left out on the way to the function, and an error on the way back: nothing here is ever quoted or repaired.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from common.models import Call, Headers
from worker.formats.base import BadResponseError

RESPONSE_HEADERS_MAX = 200
RESPONSE_HEADERS_MAX_BYTES = 64 * 1024

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")

# Folded, see _folded.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep_alive",
        "proxy_authenticate",
        "proxy_authorization",
        "proxy_connection",
        "te",
        "trailer",
        "transfer_encoding",
        "upgrade",
    }
)
_NOT_TO_FUNCTIONS = _HOP_BY_HOP | {"host", "expect", "content_length"}
_NOT_TO_CALLERS = _HOP_BY_HOP | {"content_length", "date"}
_OURS = "fn_"


class UnsendableCallError(ValueError):
    """The call can't be written in its route's format. The api refuses such calls, so this is a bug of the caller."""


def canonical(name: str) -> str:
    """A header's name as Go's net/http spells it, which is what functions were written for."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def instant(at: datetime) -> str:
    """*at* as functions get it: RFC 3339, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def request_url(call: Call) -> str:
    """The call's URL without a character that could end a line or a word: those are percent-encoded."""
    return quote(call.url, safe="!#$%&'()*+,/:;=?@[]~", errors="replace")


def call_variables(call: Call, deadline: datetime) -> dict[str, str]:
    """What is known of this one call, by the names of environment variables."""
    variables = {
        "FN_CALL_ID": str(call.id),
        "FN_METHOD": call.method,
        "FN_REQUEST_URL": call.url,
        "FN_DEADLINE": instant(deadline),
        "FN_PARAM_app": call.app_name,
        "FN_ATTEMPT": str(call.attempt),
    }
    if call.path != "/":
        variables["FN_PARAM_route"] = call.path
    return variables


def request_headers(call: Call, payload: bytes, deadline: datetime) -> Headers:
    """The headers that a hot function gets: the client's, and every variable of its environment and of the call.

    Names are canonical and unique. A client's header that could be taken for a variable is dropped, and so is what
    belongs to a connection, whoever named it. Content-Length is always there and counted here.
    """
    variables = _variable_headers(call, deadline)
    taken = _NOT_TO_FUNCTIONS | {_folded(name) for name in variables}
    headers: Headers = {}
    for name, values in call.headers.items():
        folded = _folded(name)
        if folded in taken or folded.startswith(_OURS) or not TOKEN.fullmatch(name):
            continue
        if carried := [value for value in values if _VALUE.fullmatch(value)]:
            headers.setdefault(canonical(name), []).extend(carried)
    return headers | variables | {"Content-Length": [str(len(payload))]}


def response_headers(fields: Iterable[tuple[str, str]]) -> Headers:
    """The headers of a response that are for its caller: name → values, in order, a name as it was first spelt.

    Raises BadResponseError for a name or value that HTTP can't carry, and for more than RESPONSE_HEADERS_MAX values
    or RESPONSE_HEADERS_MAX_BYTES.
    """
    checked, left_bytes = [], RESPONSE_HEADERS_MAX_BYTES
    for name, value in fields:
        if not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadResponseError("a header of the response is malformed")
        left_bytes -= len(name) + len(value.encode())
        checked.append((name, value))
        if len(checked) > RESPONSE_HEADERS_MAX or left_bytes < 0:
            raise BadResponseError("the response has too many headers")
    dropped = _NOT_TO_CALLERS | {_folded(name) for name in connection_options(checked)}
    passed: Headers = {}
    spelling: dict[str, str] = {}
    for name, value in checked:
        if _folded(name) not in dropped:
            passed.setdefault(spelling.setdefault(name.lower(), name), []).append(value)
    return passed


def connection_options(fields: Iterable[tuple[str, str]]) -> set[str]:
    """What the Connection headers say, in lower case."""
    values = [value for name, value in fields if name.lower() == "connection"]
    return {option.strip().lower() for value in values for option in value.split(",")}


def _variable_headers(call: Call, deadline: datetime) -> Headers:
    """Variables as headers. Where two would be the same header, the call's wins, then capitals: ours are capitals."""
    headers: Headers = {}
    for name, value in [*call_variables(call, deadline).items(), *sorted(call.base_env.items())]:
        # Config may well have a HOST or an UPGRADE, which mean something else in a request.
        if _folded(name) in _NOT_TO_FUNCTIONS or not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            continue
        headers.setdefault(canonical(name), [value])
    return headers


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
