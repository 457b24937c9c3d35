import logging
from collections.abc import Iterator
from typing import Literal

import msgspec
import pytest
import structlog

from common.settings import wants_color
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


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_of_a_user_in_a_line_acts_on_a_terminal_or_is_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]
) -> None:
    configure_logs("info", form, "api")
    evil = "\x1b]0;owned\x07\x9b31m\u202e\x7f\rabc\nforged line"
    get_logger("test").info("refused", path=evil, fields=[evil], headers={evil: evil}, no_text="\udcff")
    logging.getLogger("aiohttp.server").warning("bad head: %s", evil)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert [line for line in lines if not line.isprintable() or "forged" not in line] == []
    try:
        raise ValueError(evil)
    except ValueError:
        get_logger("test").exception("failed")
    printed = capsys.readouterr().err.replace("\n", "")
    assert "forged" in printed
    assert printed.isprintable()


def test_a_reader_without_colours_gets_none(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "console", "api", color=False)
    get_logger("test").info("listening")
    assert "\x1b" not in capsys.readouterr().err
    assert not wants_color({"NO_COLOR": "1"})
    assert not wants_color({"TERM": "dumb"})
    assert wants_color({"NO_COLOR": "", "TERM": "xterm"})
