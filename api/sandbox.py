"""What functions answer is shown by browsers on the api's origin, where pages are trusted: it must not act as the api.

Every answer is sealed on its way out: a policy that makes a browser show it as a page of no origin, and none of the
headers that reach beyond the answer itself. Only the api's own pages are excepted. Redirects of functions must not
lead into the api: whoever follows one sends it their token.
"""

import re
from urllib.parse import urlsplit

from aiohttp import web

# Whether this process serves nothing but functions, so that they may have this origin to themselves.
OWN_ORIGIN: web.AppKey[bool] = web.AppKey("functions_own_origin")

POLICY = "Content-Security-Policy"
# A page of no origin: its scripts read nothing of this one, and have no cookies, no storage and no service worker.
SANDBOX = "sandbox allow-scripts allow-forms"
# The api's own pages load their own style and script, ask the api, and nothing else; nobody may frame them.
OWN_PAGE = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML = "text/html; charset=utf-8"

COOKIES = frozenset({"set-cookie", "set-cookie2"})
BEYOND_THE_ANSWER = frozenset(
    {
        # of the whole origin or host, and remembered
        "accept-ch",
        "alt-svc",
        "clear-site-data",
        "critical-ch",
        "expect-ct",
        "expect-staple",
        "nel",
        "origin-agent-cluster",
        "public-key-pins",
        "public-key-pins-report-only",
        "report-to",
        "reporting-endpoints",
        "sec-session-registration",
        "secure-session-registration",
        "service-worker-allowed",
        "set-login",
        "shared-storage-write",
        "strict-transport-security",
        "use-as-dictionary",
        # orders to a proxy in front
        "x-accel-charset",
        "x-accel-expires",
        "x-accel-limit-rate",
        "x-accel-redirect",
        "x-lighttpd-send-file",
        "x-reproxy-url",
        "x-sendfile",
    }
)
_PREFIX = "/r/"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Browsers read blanks and backslashes in a URL in ways of their own.
_UNCLEAR = re.compile(r"[\x00-\x20\x7f\\]")
_PORT = re.compile(r":([0-9]*)\Z")
_OF_A_SCHEME = frozenset({"80", "443"})
_DOT = re.compile("%2e", re.IGNORECASE)


class OwnPage(web.Response):
    """A page that the api itself wrote. Nothing of a function may be in it but escaped text."""

    def __init__(self, html: bytes, status: int = 200) -> None:
        headers = {"Content-Type": HTML, POLICY: OWN_PAGE, "Referrer-Policy": "no-referrer"}
        super().__init__(body=html, status=status, headers=headers)


def seal(response: web.StreamResponse, *, is_own_origin: bool) -> None:
    """Take from the answer what would act on more than itself. Must come last, before it is sent.

    *is_own_origin*: as OWN_ORIGIN has it. Functions may have pages and cookies of this origin then.
    """
    headers = response.headers
    for name in [name for name in headers if _acts_beyond(name.lower(), is_own_origin)]:
        headers.popall(name, None)
    headers["X-Content-Type-Options"] = "nosniff"
    if not is_own_origin and not isinstance(response, OwnPage):
        headers.add(POLICY, SANDBOX)  # beside a policy of the function: a browser applies both


def _acts_beyond(name: str, is_own_origin: bool) -> bool:
    return name in BEYOND_THE_ANSWER or (name in COOKIES and not is_own_origin)


def leads_into_api(request: web.BaseRequest, location: str) -> bool:
    """Whether a redirect to *location* could end at the api itself rather than at a function or elsewhere.

    A client follows it with the method, the body and the token of its request. What is unclear counts.
    """
    try:
        target = urlsplit(location)
    except ValueError:
        return True
    is_http = target.scheme in ("", "http", "https")
    if _UNCLEAR.search(location) or "%" in target.netloc or (target.scheme and is_http and not target.netloc):
        return True
    if not is_http or (target.netloc and not _is_this_api(request, target.netloc)):
        return False
    base = "/" if target.netloc else request.rel_url.raw_path
    return not _resolved(base, target.path).startswith(_PREFIX)


def _is_this_api(request: web.BaseRequest, authority: str) -> bool:
    """Whether *authority* is that of the request, or another name of this machine with the same port."""
    host, port = _split(authority)
    own_host, own_port = _split(request.headers.get("Host", ""))
    return port == own_port and (host == own_host or {host, own_host} <= _LOOPBACK)


def _split(authority: str) -> tuple[str, str]:
    """Host and port, the port empty if it is a scheme's own."""
    authority = authority.rpartition("@")[2].lower()
    match = _PORT.search(authority)
    port = match[1] if match else ""
    host = authority[: match.start()] if match else authority
    return host.rstrip("."), "" if port in _OF_A_SCHEME else port


def _resolved(base: str, path: str) -> str:
    """*path* as a browser at *base* takes it, without dots."""
    if not path.startswith("/"):
        path = f"{base.rpartition('/')[0]}/{path}" if path else base
    kept: list[str] = []
    for part in _DOT.sub(".", path).split("/")[1:]:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    return "/" + "/".join(kept)
