"""Who may ask while there are no tokens: programs of this machine, and pages that this server itself served.

A web page of another origin could otherwise drive the api through its reader's browser: by a plain form or image
(refused by Origin and Sec-Fetch-Site) or by a host name that it re-points at 127.0.0.1 (refused by Host). The client's
address is looked at too: an api that listens to others stays closed to them when its last token is revoked.
"""

import re

from aiohttp import web

from api.cors import Cors
from common.errors import (
    ForeignClientError,
    ForeignHostError,
    ForeignOriginError,
    ServiceWorkerRefusedError,
    SettingsError,
)
from common.loopback import LOCAL, LOCAL_HOST, is_loopback

_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_ORIGIN = re.compile(rf"(?P<scheme>https?)://{LOCAL}(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE)
_DEFAULT_PORT = {"http": "80", "https": "443"}


def require_loopback(host: str) -> None:
    """Raise SettingsError for an address that other machines can reach: without tokens anybody could do anything."""
    if host != "localhost" and not is_loopback(host):
        raise SettingsError(
            "MILLRACE_HOST: other machines can reach this address, and there is no token yet. Create one first:"
            " `millrace tokens create NAME --scope admin --database`, with MILLRACE_DATABASE_URL set as it is here,"
            " or without --database while the api runs on 127.0.0.1",
            field="MILLRACE_HOST",
        )


def check_local(request: web.Request, cors: Cors) -> None:
    """Raise ForeignClientError, ForeignHostError or ForeignOriginError; origins that *cors* names are not foreign."""
    if not is_loopback(request.remote or ""):
        raise ForeignClientError
    _check_origin(request, _check_host(request), cors)


def refuse_service_worker(request: web.Request) -> None:
    """Raise ServiceWorkerRefusedError for the script of one. With tokens as without: it would see them pass by."""
    if "Service-Worker" in request.headers:
        raise ServiceWorkerRefusedError(field="Service-Worker")


def is_opened_from_outside(request: web.Request) -> bool:
    """Whether a browser opens this as a page, and no page of ours has asked it to.

    What its reader typed can't be told from where a link in a mail or a redirect of any site has led to.
    """
    headers = request.headers
    return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Site") != "same-origin"


def _check_host(request: web.Request) -> str | None:
    hosts = request.headers.getall("Host", [])
    match = LOCAL_HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    # A target in absolute form (`GET http://host/path`) names a host of its own.
    if match is None or _url_host(request) not in _NAMES:
        raise ForeignHostError(field="Host")
    return match["port"]


def _url_host(request: web.Request) -> str | None:
    try:
        return request.url.host
    except ValueError:  # a port that is none
        return None


def _check_origin(request: web.Request, port: str | None, cors: Cors) -> None:
    origins = request.headers.getall("Origin", [])
    if origins and all(cors.names(origin) for origin in origins):
        return
    # "same-site" is refused too: to a browser, every other port of this machine is the same site.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise ForeignOriginError(field="Sec-Fetch-Site")
    # A page may have its browser fetch ahead from anywhere, which is then said to be nobody's request.
    if "Sec-Purpose" in request.headers:
        raise ForeignOriginError(field="Sec-Purpose")
    for origin in origins:
        match = _ORIGIN.fullmatch(origin)
        default = _DEFAULT_PORT[match["scheme"].lower()] if match else None
        if match is None or (match["port"] or default) != (port or default):
            raise ForeignOriginError(field="Origin")
