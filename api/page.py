"""The page at /docs: the OpenAPI document for people, as HTML that needs nothing from elsewhere.

Made from the document alone, once per process. Its style and its script are files beside the document; without the
script it shows the same.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from api.page_commands import curl, examples_of
from api.page_shapes import schema_text, shape_table

EVENTS = "text/event-stream"
ERRORS_SHOWN = 6  # more of them are folded up

_CODE = re.compile(r"`{1,2}([^`]+)`{1,2}")

Json = Mapping[str, Any]


class Page:
    """One document as a page."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._common: Json = document["x-common-errors"]

    def html(self) -> str:
        """The whole page."""
        info = self._document["info"]
        return _PAGE.format(
            title=escape(info["title"]),
            version=escape(info["version"]),
            navigation="".join(self._navigation()),
            about=_prose(info["description"]),
            access=_prose(self._document["components"]["securitySchemes"]["bearer"]["description"]),
            headers=self._header_table(self._document["components"]["headers"]),
            every=self._error_table(self._common["every"]),
            guarded=self._error_table(self._common["guarded"]),
            operations="".join(self._sections()),
            shapes="".join(self._shapes()),
        )

    def _operations(self) -> Iterator[tuple[str, str, Json]]:
        """Method, path, operation. A path that takes any method is shown once, by its POST."""
        for path, methods in self._document["paths"].items():
            if "head" in methods:
                yield "any", path, methods["post"]
                continue
            for method, operation in methods.items():
                yield method, path, operation

    def _by_tag(self) -> Iterator[tuple[Json, list[tuple[str, str, Json]]]]:
        for tag in self._document["tags"]:
            yield tag, [one for one in self._operations() if tag["name"] in one[2]["tags"]]

    def _navigation(self) -> Iterator[str]:
        for tag, operations in self._by_tag():
            yield f'<li class="tag"><a href="#{tag["name"]}">{escape(tag["name"])}</a><ul>'
            for method, _, operation in operations:
                link = f'<a href="#{operation["operationId"]}">{_method(method)} {escape(operation["summary"])}</a>'
                yield f"<li>{link}</li>"
            yield "</ul></li>"

    def _sections(self) -> Iterator[str]:
        for tag, operations in self._by_tag():
            yield f'<section id="{tag["name"]}"><h2>{escape(tag["name"])}</h2>{_prose(tag["description"])}'
            for method, path, operation in operations:
                yield f'<article id="{operation["operationId"]}">'
                yield f"<h3>{_method(method)} <code>{_breakable(path)}</code></h3>"
                yield "".join(self._operation(method, path, operation))
                yield "</article>"
            yield "</section>"

    def _operation(self, method: str, path: str, operation: Json) -> Iterator[str]:
        yield f'<p class="summary">{escape(operation["summary"])}</p>'
        yield _prose(operation.get("description", ""))
        scopes = [scope for one in operation.get("security", []) for scope in one.get("bearer", [])]
        if scopes:
            yield f'<p class="access">Token: {escape(" or ".join(scopes))}</p>'
        yield f"<pre><code>{escape(curl(method, path, operation))}</code></pre>"
        if "parameters" in operation:
            yield "<h4>Parameters</h4>"
            yield self._parameter_table(operation["parameters"])
        if "requestBody" in operation:
            body = operation["requestBody"]
            yield f"<h4>Body</h4>{_prose(body['description'])}{self._content(body['content'])}"
        for status, answer in operation["responses"].items():
            if status.startswith(("2", "3", "d")):
                yield f"<h4>Answer {escape(status)}</h4>{_prose(answer['description'])}"
                yield self._header_table({k: v for k, v in answer["headers"].items() if "$ref" not in v})
                yield self._content(answer.get("content", {}))
        common = {*self._common["every"], *self._common["guarded"]}
        own = [code for code in self._codes(operation) if code not in common]
        if own:
            open_ = " open" if len(own) <= ERRORS_SHOWN else ""
            yield f"<details{open_}><summary><h4>Errors</h4></summary>{self._error_table(own)}</details>"

    def _parameter_table(self, parameters: Iterable[Json]) -> str:
        return _table(
            (
                f"<code>{escape(one['name'])}</code><br><small>{one['in']}</small>",
                schema_text(one["schema"]),
                _inline(one["description"]) + _example(one.get("example")),
            )
            for one in parameters
        )

    def _header_table(self, headers: Json) -> str:
        return _table(
            (f"<code>{escape(name)}</code>", _inline(one["description"]) + _example(one["example"]))
            for name, one in headers.items()
        )

    def _content(self, content: Json) -> str:
        shown = ""
        for content_type, media in content.items():
            of = schema_text(media["schema"]) if "schema" in media else "any bytes"
            blocks = "".join(
                f"<pre><code>{escape(_example_text(content_type, example))}</code></pre>"
                for example in examples_of(media)
            )
            summary = f"<summary><code>{escape(content_type)}</code> {of}</summary>"
            shown += f"<details>{summary}{blocks}</details>"
        return shown

    def _error_table(self, codes: Iterable[str]) -> str:
        examples = self._document["components"]["examples"]
        return _table(
            (
                escape(examples[code]["summary"].partition(" ")[0]),
                f"<code>{escape(code)}</code>",
                escape(examples[code]["value"]["error"]["message"]),
            )
            for code in codes
        )

    def _codes(self, operation: Json) -> list[str]:
        codes: list[str] = []
        for answer in operation["responses"].values():
            shared = answer.get("$ref", "").rpartition("/")[2]
            whole = self._document["components"]["responses"][shared] if shared else answer
            for media in whole.get("content", {}).values():
                codes += media.get("examples", {})
        return codes

    def _shapes(self) -> Iterator[str]:
        for name, schema in self._document["components"]["schemas"].items():
            yield f'<article id="{name}"><h3>{escape(name)}</h3>{_prose(schema.get("description", ""))}'
            yield _table(
                (f"<code>{escape(member)}</code>{note}", of, _inline(text))
                for member, note, of, text in shape_table(schema)
            )
            yield "</article>"


def _example_text(content_type: str, example: Any) -> str:
    if isinstance(example, str):
        return example
    if content_type == EVENTS:
        return "".join(f"{name}: {value}\n" for name, value in example.items())
    return json.dumps(example, indent=2, ensure_ascii=False)


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def _example(example: object) -> str:
    return (
        "" if example is None else f' <span class="example">e.g. <code>{escape(str(example))}</code></span>'
    )


def _method(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _breakable(path: str) -> str:
    return escape(path).replace("/", "/<wbr>")


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table>{body}</table></div>' if body else ""


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} API {version}</title>
<link rel="stylesheet" href="/docs/docs.css">
<script src="/docs/docs.js" defer></script>
<nav>
<details open>
<summary>{title} <small>{version}</small></summary>
<input type="search" id="filter" placeholder="Filter" aria-label="Filter the endpoints" hidden>
<ul>
<li class="tag"><a href="#about">about</a></li>
{navigation}
<li class="tag"><a href="#shapes">shapes</a></li>
</ul>
</details>
</nav>
<main>
<section id="about">
<h1>The API of {title}</h1>
{about}
<p>The same for programs: <a href="/openapi.json"><code>/openapi.json</code></a>, OpenAPI 3.1.</p>
<h3>Access</h3>
{access}
<h3>Headers of answers</h3>
{headers}
<h3>Errors, whatever was asked for</h3>
{every}
<h3>Errors wherever a token may be needed</h3>
{guarded}
</section>
{operations}
<section id="shapes">
<h2>shapes</h2>
<p>What the JSON bodies are made of. A member marked <small>optional</small> may be left out.</p>
{shapes}
</section>
</main>
</html>
"""
