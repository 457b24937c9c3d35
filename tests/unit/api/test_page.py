import json
import re
from html.parser import HTMLParser
from typing import Any

from api.handlers.docs import STATIC
from api.openapi import FILE
from api.page import Page
from api.page_commands import ADDRESS, curl
from api.page_shapes import DEPTH_MAX, Shapes

ASSETS = ("docs.css", "docs.js")
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())
HTML = Page(DOCUMENT).html()


class Reader(HTMLParser):
    """The ids, the links and the text of a page; a tag that is not closed is noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if tag not in {"meta", "link", "input", "br", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_every_operation_and_every_error_is_on_it() -> None:
    ids = set(read(HTML).ids)
    for methods in DOCUMENT["paths"].values():
        for operation in [methods["post"]] if "head" in methods else methods.values():
            assert operation["operationId"] in ids
    for code in DOCUMENT["components"]["examples"]:
        assert f"<code>{code}</code>" in HTML


def test_every_link_leads_somewhere_and_never_elsewhere() -> None:
    reader = read(HTML)
    assert len(set(reader.ids)) == len(reader.ids)
    own = {f"#{name}" for name in reader.ids} | {"/openapi.json"} | {f"/docs/{name}" for name in ASSETS}
    assert set(reader.links) <= own
    for text in (HTML, *((STATIC / name).read_text() for name in ASSETS)):
        assert set(re.findall(r"https?://[^/\s<\">]+", text)) <= {ADDRESS}


def test_what_the_document_says_is_text() -> None:
    changed = json.loads(FILE.read_text())
    changed["info"]["description"] = "<script>`<b>`"
    changed["paths"]["/"]["get"]["summary"] = "<script>"
    changed["components"]["examples"]["internal_error"]["value"]["error"]["message"] = "<script>"
    html = Page(changed).html()
    assert html.count("<script") == 1
    assert "&lt;script&gt;<code>&lt;b&gt;</code>" in html


def test_fields_are_shown_where_they_are_used_by_their_whole_names() -> None:
    articles = {one.partition('"')[0]: one for one in HTML.split('<article id="')[1:]}
    for operation, fields in {
        "create_route": ["route.image", "route.retry", "route.retry.max_attempts"],
        "submit_calls": ["path", "calls[].idempotency_key", "results[].error.code"],
        "get_stats": ["FunctionStatsMap.*.Complete"],
        "list_calls": ["calls[].status", "calls[].stats[].timestamp"],
    }.items():
        shown = articles[operation].replace("<wbr>", "")
        for field in fields:
            assert f"<code>{field}</code>" in shown, (operation, field)


def test_fields_of_a_shape_that_holds_itself_end() -> None:
    shapes = Shapes({"Tree": {"properties": {"next": {"$ref": "#/components/schemas/Tree"}}}})
    fields = list(shapes.fields({"$ref": "#/components/schemas/Tree"}))
    assert len(fields) == DEPTH_MAX + 1
    assert fields[-1].name == ".".join(["next"] * (DEPTH_MAX + 1))


def test_types_are_told_in_words() -> None:
    schema_text = Shapes({"State": {"enum": ["on", "off"], "type": "string"}}).text
    assert schema_text({"type": "integer", "minimum": 1, "maximum": 9, "default": 2}) == (
        "integer, 1 to 9, default <code>2</code>"
    )
    assert schema_text({"type": ["string", "null"], "enum": ["a", "b", "", None]}) == (
        "text, <code>a</code>, <code>b</code>"
    )
    assert schema_text({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}) == (
        "map of text to integer, at least 0"
    )
    assert schema_text({"anyOf": [{"$ref": "#/components/schemas/State"}, {"type": "null"}]}) == (
        "text, <code>on</code>, <code>off</code>"
    )
    assert schema_text({"type": "boolean", "default": False}) == "boolean, default <code>false</code>"


def test_a_command_quotes_what_the_shell_would_read() -> None:
    operation = {
        "parameters": [{"in": "path", "name": "app", "example": "mine"}],
        "requestBody": {"content": {"application/json": {"example": {"text": "it's"}}}},
    }
    assert curl("post", "/v1/{app}", operation) == (
        f"curl -X POST {ADDRESS}/v1/mine \\\n" + """     -d '{"text": "it'\\''s"}'"""
    )
