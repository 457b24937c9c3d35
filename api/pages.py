"""Small pages for people: what a browser is shown where a program would get JSON."""

from html import escape

from aiohttp import web

from api.sandbox import OwnPage


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
