import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import common.store
from common.store.queries import SQL_DIRECTORY, load_queries, parse_queries, query

STORE = Path(common.store.__file__).parent


def asked_for() -> Iterator[str]:
    """The name in every ``query("name")`` of the store's modules."""
    for path in STORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "query":
                (argument,) = node.args
                assert isinstance(argument, ast.Constant), f"{path.name}: a query's name is written out"
                yield str(argument.value)


def test_every_query_is_used_and_every_used_one_exists() -> None:
    assert set(asked_for()) == set(load_queries())


def test_a_query_is_one_statement_without_comments() -> None:
    parsed = dict(
        parse_queries(
            "-- header\n\n-- name: one\n-- why\nSELECT 1\n    -- inside\n    + 1\n\n-- name: two\nSELECT 2\n"
        )
    )
    assert parsed == {"one": "SELECT 1\n    + 1", "two": "SELECT 2"}


@pytest.mark.parametrize(
    "text", ["-- name: \nSELECT 1", "-- name: a b\nSELECT 1", "-- name: a\n", "-- name: a\nX;"]
)
def test_a_malformed_query_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs a plain name"):
        parse_queries(text)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        query("no_such_query")


def test_every_file_says_what_it_holds() -> None:
    for path in SQL_DIRECTORY.glob("*.sql"):
        assert path.read_text(encoding="utf-8").startswith("-- "), path.name


def test_no_module_holds_sql() -> None:
    statements = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ")
    for path in STORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.lstrip().startswith(statements), f"{path.name}:{node.lineno}"
