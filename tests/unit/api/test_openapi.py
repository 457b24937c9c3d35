import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api.descriptions.parts import UNDESCRIBED
from api.middlewares import STATUS_BY_SLUG, api_error_of
from api.openapi import FILE, METHODS, template, text
from api.urls import URLS
from common.errors import MillraceError
from tests.unit.api.test_errors import CLASSES

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())
OPERATIONS: list[tuple[str, str, dict[str, Any]]] = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]

# Errors that no answer of the api carries: of the models and the store between its own parts, and of workers.
NEVER_ANSWERED = {
    *(
        "store_empty_app_name",
        "store_empty_route_path",
        "store_empty_app",
        "store_empty_route",
        "store_empty_key",
    ),
    *("store_empty_call_id", "call_changed", "call_already_exists", "not_reserved"),
    *("app_has_routes", "route_app_name_missing", "route_name_missing", "route_type_missing"),
    *("engine_unavailable", "container_vanished"),
}


def test_the_file_is_what_the_table_says() -> None:
    assert FILE.read_text() == text(), "run: python -m api.openapi"


def test_every_url_of_the_table_is_in_the_document() -> None:
    said = {(method, path) for method, path, _ in OPERATIONS}
    served = {
        (method, template(endpoint.path))
        for endpoint in URLS
        for method in (METHODS if endpoint.method == "*" else (endpoint.method.lower(),))
    }
    assert said == served


@pytest.mark.parametrize("endpoint", URLS, ids=lambda one: f"{one.method} {template(one.path)}")
def test_every_handler_is_described(endpoint: Any) -> None:
    assert endpoint.description is not UNDESCRIBED
    assert endpoint.summary
    assert "200" in endpoint.description.answers or "202" in endpoint.description.answers


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


def test_every_error_that_has_a_status_is_described() -> None:
    answered = {one.slug for one in CLASSES if api_error_of(one()).status != 500}
    described = set(DOCUMENT["components"]["examples"])
    assert answered - described == NEVER_ANSWERED
    assert set(STATUS_BY_SLUG) <= described
    assert MillraceError.slug in described


def test_every_error_stands_at_its_status_in_every_answer() -> None:
    statuses = {one.slug: api_error_of(one()).status for one in CLASSES}
    for _, _, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            for media in resolved(answer).get("content", {}).values():
                for code in media.get("examples", {}):
                    assert statuses.get(code, int(status)) == int(status)


def test_every_example_is_valid() -> None:
    checked = 0
    for holder in mappings(DOCUMENT["paths"]):
        if "schema" in holder and "example" in holder:
            check(holder["example"], holder["schema"])
            checked += 1
    for holder in (resolved(one) for one in DOCUMENT["components"]["responses"].values()):
        for media in holder["content"].values():
            for example in media["examples"].values():
                check(resolved(example)["value"], media["schema"])
                checked += 1
    for example in DOCUMENT["components"]["examples"].values():
        check(example["value"], {"$ref": "#/components/schemas/Error"})
    assert checked > 100


def test_an_example_that_is_wrong_would_be_found() -> None:
    for schema, example in (
        ({"$ref": "#/components/schemas/Error"}, {"error": {"message": 1}}),
        ({"$ref": "#/components/schemas/App"}, {"name": "mine", "created_at": "yesterday"}),
        ({"$ref": "#/components/schemas/Call"}, {"id": "1"}),
    ):
        with pytest.raises(jsonschema_rs.ValidationError):
            check(example, schema)


def test_every_reference_and_every_link_leads_somewhere() -> None:
    for holder in mappings(DOCUMENT):
        if "$ref" in holder:
            assert resolved(holder)
    parameters = {
        operation["operationId"]: {one["name"] for one in operation.get("parameters", [])}
        for _, _, operation in OPERATIONS
    }
    for _, _, operation in OPERATIONS:
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                assert set(link["parameters"]) <= parameters[link["operationId"]]


def test_every_shape_says_what_it_is() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []


def test_the_files_go_with_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    kinds = project["tool"]["setuptools"]["package-data"]["*"]
    assert {f"*{file.suffix}" for file in FILE.parent.iterdir()} <= set(kinds)


def check(value: object, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)


def resolved(holder: dict[str, Any]) -> dict[str, Any]:
    reference = holder.get("$ref")
    if reference is None:
        return holder
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def mappings(of: object) -> Iterator[dict[str, Any]]:
    if isinstance(of, dict):
        yield of
    for member in of.values() if isinstance(of, dict) else of if isinstance(of, list) else ():
        yield from mappings(member)
