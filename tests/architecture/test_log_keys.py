"""One spelling of keys in the logs: ``call_id``, for several ``call_ids``, for their number ``count``."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
METHODS = {"debug", "info", "warning", "error", "exception", "log"}
NOT_KEYS = {"call", "calls", "id", "ids", "request", "req_id"}


def log_keys() -> Iterator[tuple[str, int, str]]:
    for folder in ("api", "worker", "common"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                logger = node.func.value
                if (
                    node.func.attr in METHODS
                    and isinstance(logger, ast.Name)
                    and logger.id in {"log", "_log"}
                ):
                    yield from ((str(path), node.lineno, one.arg) for one in node.keywords if one.arg)


def test_calls_are_named_by_one_key() -> None:
    keys = list(log_keys())
    assert len(keys) > 50
    assert [one for one in keys if one[2] in NOT_KEYS] == []
