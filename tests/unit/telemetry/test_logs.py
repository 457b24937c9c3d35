import logging
from collections.abc import Iterator
from typing import Literal

import msgspec
import pytest
import structlog

from common.telemetry.logs import configure_logs, get_logger


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_lines_are_json_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "auto", "api")
    get_logger("test").info("call_finished", call_id="x")
    get_logger("test").debug("unheard")
    (line,) = capsys.readouterr().err.splitlines()
    event = msgspec.json.decode(line)
    assert (event["event"], event["call_id"], event["process"], event["part"]) == (
        "call_finished",
        "x",
        "api",
        "test",
    )


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_never_print_local_variables(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]
) -> None:
    configure_logs("info", form, "api")
    payload = "top " + "secret"
    try:
        raise ValueError("boom")
    except ValueError:
        get_logger("test").exception("failed")
    printed = capsys.readouterr().err
    assert "boom" in printed
    assert payload not in printed


def test_what_libraries_log_is_one_line_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", "api")
    try:
        raise OSError("refused")
    except OSError:
        logging.getLogger("asyncpg.pool").exception("floor of %d not restored", 3)
    (line,) = capsys.readouterr().err.splitlines()
    event = msgspec.json.decode(line)
    assert (event["event"], event["level"], event["part"]) == (
        "floor of 3 not restored",
        "error",
        "asyncpg.pool",
    )
    assert event["cause"] == "OSError('refused')"
