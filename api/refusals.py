"""The error answers of the OpenAPI document: by status, with the slugs that may stand in them and an example of each.

Those of every endpoint, and those that follow from who may ask, are put together here; a handler's own come from its
description.
"""

from http import HTTPStatus
from typing import Any

import msgspec

from api.components import Components
from api.descriptions.parts import JSON, Failure, Header
from api.descriptions.preface import (
    AUTHENTICATE,
    ELSEWHERE,
    EVERY_ANSWER,
    EVERY_ERROR,
    PART_ERRORS,
    RETRY_AFTER,
    TOKEN_ERRORS,
)
from api.middlewares import api_error_of
from api.query import is_strict
from api.urls import Access, Endpoint
from common.errors import MillraceError, UnknownParameterError
from common.models import Error, ErrorBody

HEADERS = {401: (AUTHENTICATE,), 429: (RETRY_AFTER,), 503: (RETRY_AFTER,)}

Json = dict[str, Any]
Errors = tuple[type[MillraceError] | Failure, ...]


class Refusals:
    """Gathers what the operations share, and an example of every error."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._shared: Json = {}
        self._examples: Json = {}

    def of(self, endpoint: Endpoint) -> Json:
        """The errors of an endpoint, by status. What many have in common is shared."""
        standing = self._codes(_standing(endpoint.access))
        responses: Json = {}
        for status, codes in sorted(self._codes(_all_errors(endpoint)).items()):
            response = self._error(status, codes)
            name = ""
            if codes == standing.get(status):
                name = f"{'open' if endpoint.access is Access.OPEN else 'guarded'}_{status}"
            elif endpoint.method == "*":
                name = f"{getattr(endpoint.handler, '__name__', '')}_{status}"
            if name:
                self._shared[name] = response
                response = {"$ref": f"#/components/responses/{name}"}
            responses[str(status)] = response
        return responses

    def _codes(self, errors: Errors) -> dict[int, list[str]]:
        """The slugs of *errors* by their status."""
        codes: dict[int, list[str]] = {}
        for error in errors:
            status, code = self._failure(error)
            if code not in codes.setdefault(status, []):
                codes[status].append(code)
        return codes

    def common(self) -> Json:
        """Which errors come whatever is asked for, and which wherever a token may be needed."""
        named = {"every": (*EVERY_ERROR, *ELSEWHERE), "guarded": (*TOKEN_ERRORS, *PART_ERRORS.values())}
        return {
            name: [code for _, codes in sorted(self._codes(errors).items()) for code in codes]
            for name, errors in named.items()
        }

    def shared(self) -> Json:
        """The answers that were referred to, by name."""
        return dict(sorted(self._shared.items()))

    def examples(self) -> Json:
        """The errors that were met, by slug."""
        return dict(sorted(self._examples.items()))

    def _failure(self, error: type[MillraceError] | Failure) -> tuple[int, str]:
        """The status and the slug of an error, which is kept among the examples."""
        if isinstance(error, Failure):
            status, code, message = error.status, error.code, error.message
        else:
            answer = api_error_of(error())
            status, code, message = answer.status, answer.code, answer.message
        value = msgspec.to_builtins(Error(error=ErrorBody(message=message, code=code)))
        self._examples.setdefault(code, {"summary": f"{status} {code}", "value": value})
        return status, code

    def _error(self, status: int, codes: list[str]) -> Json:
        schema = self._components.schema(Error) | {
            "properties": {"error": {"properties": {"code": {"enum": codes}}, "required": ["code"]}}
        }
        examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
        return {
            "description": HTTPStatus(status).phrase,
            "headers": header_references(*EVERY_ANSWER, *HEADERS.get(status, ())),
            "content": {JSON: {"schema": schema, "examples": examples}},
        }


def header_references(*headers: Header) -> Json:
    """Headers by name, as the document has them once."""
    return {header.name: {"$ref": f"#/components/headers/{header.name}"} for header in headers}


def part_of(endpoint: Endpoint) -> str:
    """The first part of its path."""
    return endpoint.path.split("/")[1]


def _standing(access: Access) -> Errors:
    """The errors of every endpoint of this access."""
    return EVERY_ERROR if access is Access.OPEN else (*EVERY_ERROR, *TOKEN_ERRORS)


def _all_errors(endpoint: Endpoint) -> Errors:
    part = PART_ERRORS.get(part_of(endpoint))
    strict = (UnknownParameterError,) if is_strict(endpoint) else ()
    return (*endpoint.description.errors, *strict, *_standing(endpoint.access), *((part,) if part else ()))
