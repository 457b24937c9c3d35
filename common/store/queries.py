"""The named queries of ``sql/*.sql``: ``-- name: get_app`` opens one. Loads them once; runs none."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

SQL_DIRECTORY = Path(__file__).with_name("sql")
_NAME = re.compile(r"^-- name: (.*)$", re.MULTILINE)


def query(name: str) -> str:
    """The SQL of the query of this name; KeyError if there is none."""
    return load_queries()[name]


@cache
def load_queries() -> Mapping[str, str]:
    """Every query by its name. Raises ValueError for a name that stands twice or an empty query."""
    queries: dict[str, str] = {}
    for path in sorted(SQL_DIRECTORY.glob("*.sql")):
        for name, sql in parse_queries(path.read_text(encoding="utf-8")):
            if name in queries:
                raise ValueError(f"{path.name}: query {name} stands twice")
            queries[name] = sql
    return queries


def parse_queries(text: str) -> list[tuple[str, str]]:
    """(name, SQL) of each query of a file, without comments; what stands before the first name is the file's header."""
    parts = _NAME.split(text)[1:]
    return [_checked(name.strip(), sql) for name, sql in zip(parts[::2], parts[1::2], strict=True)]


def _checked(name: str, text: str) -> tuple[str, str]:
    sql = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
    if not re.fullmatch(r"[a-z_]+", name) or not sql or sql.endswith(";"):
        raise ValueError(f"query {name!r} needs a plain name and one statement without a semicolon")
    return name, sql
