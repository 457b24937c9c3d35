"""What the head of a request may ask for: what nothing here does is refused in our words, before any handler.

aiohttp would answer an unknown Expect in its own words, below every middleware, and pass on the bytes of a transfer
coding that it does not undo as if they were the body.
"""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import web
from aiohttp.http import HttpVersion11

from api.middlewares import APIError, error_response

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SHOWN_CHARS = 100
_MANAGEMENT = "/v1/"


def refusing(handler: Handler) -> Handler:
    """*handler* for requests that ask for what it can do; others are answered here, and their connection closed."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        error = refusal_of_head(request)
        return await handler(request) if error is None else refused(error)

    return handle


def refusal_of_head(request: web.BaseRequest) -> APIError | None:
    """What is wrong with the head of *request*, if anything is."""
    codings = _listed(request, "Transfer-Encoding")
    if codings and codings != ["chunked"]:
        return APIError(
            501,
            f"Transfer-Encoding is {_shown(codings)}: only chunked is understood",
            code="transfer_coding_unsupported",
            field="Transfer-Encoding",
        )
    if codings and request.version < HttpVersion11:
        return APIError(400, "Malformed HTTP request: chunks need HTTP/1.1", code="http_malformed")
    expected = request.headers.getall("Expect", [])
    if request.version >= HttpVersion11 and any(one.lower() != "100-continue" for one in expected):
        return APIError(
            417,
            f"Expect is {_shown(expected)}: only 100-continue is known",
            code="expectation_unknown",
            field="Expect",
        )
    encodings = [one for one in _listed(request, "Content-Encoding") if one != "identity"]
    if encodings and request.path.startswith(_MANAGEMENT):
        return APIError(
            415,
            f"Content-Encoding is {_shown(encodings)}: send the body as it is",
            code="content_coding_unsupported",
            field="Content-Encoding",
        )
    return None


def refused(error: APIError) -> web.Response:
    """The answer to a request that no handler saw; the last one on its connection."""
    response = error_response(error)
    if error.status == 415:
        response.headers["Accept-Encoding"] = "identity"
    response.headers["X-Request-Id"] = uuid4().hex
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "millrace"
    response.force_close()
    return response


def _shown(values: list[str]) -> str:
    """As an error says them: bytes that are no text, and very long ones, are not for JSON."""
    return ", ".join(values).encode("ascii", "replace").decode()[:SHOWN_CHARS]


def _listed(request: web.BaseRequest, name: str) -> list[str]:
    """The members of a header that is a list, in small letters."""
    members = [
        part.strip().lower() for value in request.headers.getall(name, ()) for part in value.split(",")
    ]
    return [member for member in members if member]
