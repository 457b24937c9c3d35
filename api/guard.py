"""Who may ask while there are no tokens: programs of this machine, and pages that this server itself served.

A web page of another origin could otherwise drive the api through its reader's browser: by a plain form or image
(refused by Origin and Sec-Fetch-Site) or by a host name that it re-points at 127.0.0.1 (refused by Host).
"""

import ipaddress
import re

from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import ForeignHostError, ForeignOriginError, PathMalformedError, SettingsError
from common.settings import Settings

_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_LOCAL = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_HOST = re.compile(rf"{_LOCAL}(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE)
_ORIGIN = re.compile(rf"(?P<scheme>https?)://{_LOCAL}(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE)
_DEFAULT_PORT = {"http": "80", "https": "443"}


def require_loopback(settings: Settings) -> None:
    """Raise SettingsError for an address that other machines can reach: without tokens anybody could do anything."""
    try:
        is_loopback = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise SettingsError(
            "MILLRACE_HOST: only loopback addresses are served for now", field="MILLRACE_HOST"
        )


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise ForeignHostError, ForeignOriginError or, for a target that is no UTF-8, PathMalformedError."""
    port = _check_host(request)
    _check_origin(request, port)
    try:
        request.raw_path.encode()
        request.path.encode()
    except UnicodeEncodeError as error:
        raise PathMalformedError from error
    return await handler(request)


def _check_host(request: web.Request) -> str | None:
    hosts = request.headers.getall("Host", [])
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    # A target in absolute form (`GET http://host/path`) names a host of its own.
    if match is None or request.url.host not in _NAMES:
        raise ForeignHostError(field="Host")
    return match["port"]


def _check_origin(request: web.Request, port: str | None) -> None:
    # "same-site" is refused too: to a browser, every other port of this machine is the same site.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise ForeignOriginError(field="Sec-Fetch-Site")
    for origin in request.headers.getall("Origin", []):
        match = _ORIGIN.fullmatch(origin)
        default = _DEFAULT_PORT[match["scheme"].lower()] if match else None
        if match is None or (match["port"] or default) != (port or default):
            raise ForeignOriginError(field="Origin")
