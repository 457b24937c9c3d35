"""Small pages for people: what a browser is shown where a program would get JSON."""

import re
from html import escape

from aiohttp import web

from api import VERSION
from api.page_commands import ADDRESS
from api.sandbox import OwnPage

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def confirmation(request: web.Request) -> web.Response:
    """403 with a link: the function is called once its reader follows it."""
    target = escape(request.raw_path)
    text = (
        "<p>This address calls a function. A link or a redirect of any site may have brought you here, so nothing has"
        " been called yet.</p>"
        f'<p><a class="button" href="{target}">Call <code>{target}</code></a></p>'
        "<p><small>Programs are not asked, and browsers no longer once there is a token.</small></p>"
    )
    return OwnPage(page("Call this function?", text), 403)


def start(request: web.Request) -> web.Response:
    """What a person is shown at the address of the api."""
    address = address_of(request)
    commands = (
        f"curl -X PUT {address}/v1/apps/mine/routes/upper \\\n"
        """     -d '{"route": {"image": "me/upper:1", "type": "async"}}'\n"""
        f"curl -X POST {address}/r/mine/upper -d 'some text'"
    )
    text = (
        "<p>The api runs here. It takes function calls, runs them in containers, and keeps a record of each.</p>"
        f'<pre class="command"><code>{escape(commands)}</code></pre>'
        "<ul>"
        '<li><a href="/docs">What the api can do</a>, with commands to copy and forms to try it</li>'
        '<li><a href="/openapi.json">The same for programs</a>, OpenAPI 3.1</li>'
        '<li><a href="/readyz">Whether Postgres and Redis answer</a></li>'
        "</ul>"
        f"<p><small>Version {escape(VERSION)}. Programs get JSON from this address.</small></p>"
    )
    return OwnPage(page("Millrace", text))


def address_of(request: web.Request) -> str:
    """Scheme, host and port as the reader asked for them; the usual ones where the Host is odd."""
    host = request.headers.get("Host", "")
    return f"{request.scheme}://{host}" if _HOST.fullmatch(host) else ADDRESS


def page(title: str, text: str) -> bytes:
    """A page of one column."""
    return _PAGE.format(title=title, text=text).encode()


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/docs/docs.css">
<body class="single">
<main>
<h1>{title}</h1>
{text}
</main>
</body>
</html>
"""
