"""The page at /docs: the OpenAPI document for people, as HTML that needs nothing from elsewhere.

Made from the document alone, once per process; only the address in its commands is the reader's. Its style and its
script are files beside the document. Without the script it shows the same, but can't be searched or tried.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from api.page_commands import ADDRESS, body_of, curl, examples_of
from api.page_shapes import Field, Shapes

EVENTS = "text/event-stream"
ROWS_SHOWN = 6  # longer tables of answers and errors are folded up

_CODE = re.compile(r"`{1,2}([^`]+)`{1,2}")

Json = Mapping[str, Any]


class Page:
    """One document as a page."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._common: Json = document["x-common-errors"]
        self._shapes = Shapes(document["components"]["schemas"])

    def html(self) -> str:
        """The whole page."""
        info = self._document["info"]
        return _PAGE.format(
            title=escape(info["title"]),
            version=escape(info["version"]),
            address=ADDRESS,
            navigation="".join(self._navigation()),
            about=_prose(info["description"]),
            access=_prose(self._document["components"]["securitySchemes"]["bearer"]["description"]),
            headers=self._header_table(self._document["components"]["headers"]),
            every=self._error_table(self._common["every"]),
            guarded=self._error_table(self._common["guarded"]),
            operations="".join(self._sections()),
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
                data = f'data-method="{method}" data-path="{escape(path)}"'
                body = body_of(operation)
                if body is not None:
                    data += f' data-body="{escape(body)}"'
                yield f'<article id="{operation["operationId"]}" {data}>'
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
        yield f'<pre class="command"><code>{escape(curl(method, path, operation))}</code></pre>'
        if "parameters" in operation:
            yield "<h4>Parameters</h4>"
            yield self._parameter_table(operation["parameters"])
        if "requestBody" in operation:
            body = operation["requestBody"]
            yield f"<h4>Body</h4>{_prose(body['description'])}"
            for content_type, media in body["content"].items():
                yield self._fields(media, rows_shown=1000)
                yield from _examples(content_type, media, skipped=1)
        for status, answer in operation["responses"].items():
            if status.startswith(("2", "3", "d")):
                yield f"<h4>Answer {escape(status)}</h4>{_prose(answer['description'])}"
                yield self._header_table({k: v for k, v in answer["headers"].items() if "$ref" not in v})
                for content_type, media in answer.get("content", {}).items():
                    yield f'<p class="type">{_type(content_type)}</p>'
                    yield self._fields(media, rows_shown=ROWS_SHOWN)
                    yield from _examples(content_type, media)
        common = {*self._common["every"], *self._common["guarded"]}
        own = [code for code in self._codes(operation) if code not in common]
        if own:
            yield _folded("Errors", len(own), self._error_table(own))

    def _fields(self, media: Json, rows_shown: int) -> str:
        """The fields of a body, for each shape that it may have."""
        shown = ""
        for shape in self._shapes.alternatives(media.get("schema", {})):
            fields = [field for field in self._shapes.fields(shape) if field.name]
            if not fields:
                continue
            shown += '<p class="or">or</p>' if shown else ""
            table = _table(map(_field_row, fields))
            shown += table if len(fields) <= rows_shown else _folded("Fields", len(fields), table)
        return shown

    def _parameter_table(self, parameters: list[Json]) -> str:
        rows = (
            (
                f"<code>{escape(one['name'])}</code><br><small>{one['in']}</small>",
                self._shapes.text(one["schema"]),
                _inline(one["description"]) + _example(one.get("example")),
            )
            for one in parameters
        )
        return _table(rows, [_parameter_data(one) for one in parameters])

    def _header_table(self, headers: Json) -> str:
        return _table(
            (f"<code>{escape(name)}</code>", _inline(one["description"]) + _example(one["example"]))
            for name, one in headers.items()
        )

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


def _parameter_data(parameter: Json) -> str:
    """What the script makes an input of."""
    example = escape(str(parameter.get("example", "")))
    return f'data-name="{escape(parameter["name"])}" data-in="{parameter["in"]}" data-example="{example}"'


def _field_row(field: Field) -> tuple[str, str, str]:
    note = " <small>optional</small>" if field.is_optional else ""
    return f"<code>{_breakable(field.name, '.')}</code>{note}", field.type, _inline(field.text)


def _examples(content_type: str, media: Json, skipped: int = 0) -> Iterator[str]:
    """The examples of a body but the first *skipped*, which the command has."""
    for example in examples_of(media)[skipped:]:
        block = f"<pre><code>{escape(_example_text(content_type, example))}</code></pre>"
        yield f"<details><summary>Example</summary>{block}</details>"


def _folded(title: str, count: int, table: str) -> str:
    is_open = " open" if count <= ROWS_SHOWN else ""
    return f"<details{is_open}><summary>{title} <small>{count}</small></summary>{table}</details>"


def _example_text(content_type: str, example: Any) -> str:
    if isinstance(example, str):
        return example
    if content_type == EVENTS:
        return "".join(f"{name}: {value}\n" for name, value in example.items())
    return json.dumps(example, indent=2, ensure_ascii=False)


def _type(content_type: str) -> str:
    return "Any type" if content_type == "*/*" else f"<code>{escape(content_type)}</code>"


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


def _breakable(path: str, at: str = "/") -> str:
    return escape(path).replace(at, f"{at}<wbr>")


def _table(rows: Iterable[tuple[str, ...]], data: list[str] | None = None) -> str:
    """A table; *data* are the attributes of its rows."""
    body = ""
    for number, row in enumerate(rows):
        attributes = f" {data[number]}" if data else ""
        body += f"<tr{attributes}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
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
<input type="search" id="filter" placeholder="Search" aria-label="Search the page" hidden>
<p id="found" role="status" hidden></p>
<ul>
<li class="tag"><a href="#about">about</a></li>
{navigation}
</ul>
</details>
</nav>
<main data-address="{address}">
<section id="about">
<h1>The API of {title}</h1>
{about}
<p>A field that is marked <small>optional</small> may be left out; in a request <code>null</code> says the same.</p>
<p>The same for programs: <a href="/openapi.json"><code>/openapi.json</code></a>, OpenAPI 3.1.</p>
<h3>Access</h3>
{access}
<p id="token" hidden><label>Token for what you try on this page
<input type="password" autocomplete="off" placeholder="mr_…"></label> <small>Kept until the page is closed.</small></p>
<h3>Headers of answers</h3>
{headers}
<h3>Errors, whatever was asked for</h3>
{every}
<h3>Errors wherever a token may be needed</h3>
{guarded}
</section>
{operations}
</main>
</html>
"""
