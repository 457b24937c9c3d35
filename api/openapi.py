"""The OpenAPI 3.1 document: made from the URL table, its descriptions, and the types of what goes over the wire.

``python -m api.openapi`` writes it to static/openapi.json, which is checked in and served. A test finds a file that is
not what the table says. Nothing here runs in a serving process.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp.typedefs import Handler

from api import VERSION
from api.components import Components
from api.descriptions.parts import ANY, Content, Either, Header, Link, Parameter
from api.descriptions.path import PATH
from api.descriptions.preface import (
    AUTHENTICATE,
    AUTHORIZATION,
    EVERY_ANSWER,
    LICENSE,
    RETRY_AFTER,
    TEXT,
)
from api.refusals import Refusals, header_references, part_of
from api.urls import URLS, Access, Endpoint

FILE = Path(__file__).parent / "static" / "openapi.json"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")  # of a path that takes any

_PART = re.compile(r"\{(\w+)(?::[^{}]*)?\}")

Json = dict[str, Any]


class Document:
    """One document in the making. What it refers to is gathered while operations are added."""

    def __init__(self) -> None:
        self._components = Components()
        self._refusals = Refusals(self._components)

    def whole(self, endpoints: tuple[Endpoint, ...] = URLS) -> Json:
        """All of it. Raises ValueError for two types of one name, KeyError for a part of a path that has no text."""
        tags: dict[str, str] = {}
        paths: dict[str, Json] = {}
        # What is open to all is about the process, and comes last.
        about_process = {_tag(endpoint.handler) for endpoint in endpoints if endpoint.access is Access.OPEN}
        for endpoint in sorted(endpoints, key=lambda one: _tag(one.handler) in about_process):
            tags.setdefault(_tag(endpoint.handler), _about(endpoint.handler))
            for method, operation in self._operations(endpoint):
                paths.setdefault(template(endpoint.path), {})[method] = operation
        common = self._refusals.common()
        return {
            "openapi": "3.1.0",
            "info": {"title": "Millrace", "version": VERSION, "description": TEXT, "license": LICENSE},
            "servers": [{"url": "/", "description": "The server that this document comes from."}],
            "tags": [{"name": name, "description": about} for name, about in tags.items()],
            "x-common-errors": common,
            "paths": paths,
            "components": {
                "securitySchemes": {"bearer": AUTHORIZATION},
                "schemas": self._components.all(),
                "headers": {
                    header.name: header_json(header) for header in (*EVERY_ANSWER, AUTHENTICATE, RETRY_AFTER)
                },
                "responses": self._refusals.shared(),
                "examples": self._refusals.examples(),
            },
        }

    def _operations(self, endpoint: Endpoint) -> Iterator[tuple[str, Json]]:
        name = getattr(endpoint.handler, "__name__", "")
        if endpoint.method != "*":
            yield endpoint.method.lower(), self._operation(endpoint, name)
            return
        place = "" if "{route" in endpoint.path else "_root"
        for method in METHODS:
            operation = self._operation(endpoint, f"{name}{place}_{method}")
            if method in ("get", "head"):
                operation.pop("requestBody", None)  # OpenAPI gives it no meaning there
            yield method, _without_bodies(operation) if method == "head" else operation

    def _operation(self, endpoint: Endpoint, name: str) -> Json:
        description = endpoint.description
        parameters = [
            *(self._parameter("path", PATH[part]) for part in _PART.findall(endpoint.path)),
            *(self._parameter("query", one) for one in description.query),
            *(self._parameter("header", one) for one in description.headers),
        ]
        operation: Json = {
            "operationId": name,
            "tags": [_tag(endpoint.handler)],
            "summary": endpoint.summary,
            "description": description.text,
            "security": _security(endpoint),
            "parameters": parameters,
        }
        if description.body is not None:
            operation["requestBody"] = {
                "description": description.body.text,
                "required": description.body.is_required,
                "content": self._content(description.body),
            }
        responses = {**self._answers(description.answers), **self._refusals.of(endpoint)}
        operation["responses"] = dict(sorted(responses.items()))
        return {key: value for key, value in operation.items() if value not in ("", [])}

    def _parameter(self, where: str, parameter: Parameter) -> Json:
        shown: Json = {
            "name": parameter.name,
            "in": where,
            "description": parameter.text,
            "required": where == "path" or parameter.is_required,
            "schema": self._components.schema(parameter.type),
        }
        return shown if parameter.example is None else {**shown, "example": parameter.example}

    def _answers(self, answers: Mapping[str, Content]) -> Json:
        return {
            status: {
                "description": content.text,
                "headers": header_references(*EVERY_ANSWER)
                | {one.name: header_json(one) for one in content.headers},
                **({"content": self._content(content)} if content.examples else {}),
                **({"links": _links(content.links)} if content.links else {}),
            }
            for status, content in answers.items()
        }

    def _content(self, content: Content) -> Json:
        shown: Json = {}
        for content_type, example in content.examples.items():
            if isinstance(example, Either):
                shown[content_type] = self._choice(example)
            elif content_type == ANY:
                shown[content_type] = {"example": example.decode()}
            else:
                schema = self._components.schema(type(example))
                shown[content_type] = {"schema": schema, "example": msgspec.to_builtins(example)}
        return shown

    def _choice(self, either: Either) -> Json:
        schemas = [self._components.schema(type(example)) for example in either.examples.values()]
        examples = {
            word: {"value": msgspec.to_builtins(example)} for word, example in either.examples.items()
        }
        return {"schema": {"anyOf": schemas}, "examples": examples}


def template(path: str) -> str:
    """A path of the table as OpenAPI writes it: what a part may match is left out."""
    return _PART.sub(r"{\1}", path)


def text() -> str:
    """The document as the file has it."""
    return json.dumps(Document().whole(), indent=1, ensure_ascii=False) + "\n"


def _tag(handler: Handler) -> str:
    return handler.__module__.rpartition(".")[2]


def _about(handler: Handler) -> str:
    """What the module of *handler* says of itself first."""
    first, _, _ = (sys.modules[handler.__module__].__doc__ or "").partition("\n")
    return first


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    """Who may ask, once there is a token: those of this scope and of the larger ones. A route may be public."""
    if endpoint.access is Access.OPEN:
        return []
    scopes = [Access.INVOKE, Access.APP, Access.ADMIN]
    needed = [scope.value for scope in scopes[scopes.index(endpoint.access) :]]
    return [{"bearer": needed}, *([{}] if part_of(endpoint) == "r" else [])]


def header_json(header: Header) -> Json:
    return {"description": header.text, "schema": {"type": "string"}, "example": header.example}


def _links(links: Iterable[Link]) -> Json:
    return {
        link.operation: {"operationId": link.operation, "parameters": dict(link.parameters)} for link in links
    }


def _without_bodies(operation: Json) -> Json:
    """*operation* for HEAD: the same answers, but for what is in them."""
    responses = {status: {"description": "As GET's, without its body."} for status in operation["responses"]}
    return {**operation, "responses": responses}


if __name__ == "__main__":
    FILE.write_text(text())
