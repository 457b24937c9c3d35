"""CORS: which pages of other origins may ask from a browser, and read the answers. Off unless the settings name some.

Grants nothing by itself: a token is needed all the same, and cookies are never among what a page may send.
"""

from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import ForeignOriginError

ANY = "*"
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE_S = 600
_ASKED = ("Authorization", "Content-Type", "Idempotency-Key")
_SHOWN = ("Fn_call_id", "Location", "Retry-After", "Server-Timing", "Idempotency-Replayed")
_OURS = "millrace-"  # CORS knows no prefixes: those that are there are named


class Cors:
    """The origins of the settings: comma separated, ``*`` for all, empty for none."""

    def __init__(self, origins: str) -> None:
        listed = {origin.strip().lower() for origin in origins.split(",")} - {""}
        self.is_on = bool(listed)
        self._is_any = ANY in listed
        self._named = frozenset(listed - {ANY})

    def names(self, origin: str) -> bool:
        """Whether the settings name this very origin. ``*`` names none: without tokens that would admit every page."""
        return origin.lower() in self._named

    def answer_for(self, origin: str) -> str | None:
        """What Access-Control-Allow-Origin says to *origin*; None if it may not read."""
        if self._is_any:
            return ANY
        return origin if self.names(origin) else None

    @web.middleware
    async def answer_preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a browser that asks whether it may ask. Raises ForeignOriginError for a page that may not."""
        if not self.is_on or not _is_preflight(request):
            return await handler(request)
        if self.answer_for(request.headers["Origin"]) is None:
            raise ForeignOriginError(field="Origin")
        asked = request.headers.get("Access-Control-Request-Headers", "").split(",")
        headers = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": ", ".join((*_ASKED, *_of_ours(name.strip() for name in asked))),
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say on every answer, also on a stream, whether the page may read it; in place of a function's own word."""
        response.headers.add("Vary", "Origin")
        allowed = self.answer_for(request.headers.get("Origin", ""))
        if allowed is not None and "Origin" in request.headers:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = ", ".join(
                (*_SHOWN, *_of_ours(response.headers))
            )


def _is_preflight(request: web.Request) -> bool:
    named = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
    return named and request.method == "OPTIONS"


def _of_ours(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.lower().startswith(_OURS)]
