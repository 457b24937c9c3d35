"""`millrace queue` shows every count, and says what is wrong in one line."""

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.cli.queue import Depth, Head, HeadCall, _show, _show_head
from deploy.cli.terminal import Terminal


def test_every_count_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ready = {"0": 11, "1": 12, "2": 13}
    depth = Depth("default", ready, 14, 15, 16, 17, 18, 19, 2500, conserved=False)
    _show(Terminal(), depth)
    shown = capsys.readouterr().out
    for number in (*range(11, 20), "2.5 s", "running", "DOES NOT ADD UP"):
        assert str(number) in shown


def test_the_head_shows_sync_calls_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    calls = [HeadCall("first", 0.25, 64, 1), HeadCall("second", 7, 128, 2, priority=2)]
    _show_head(Terminal(), Head(calls))
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [
        ["first", "sync", "0.2", "s", "64", "MB", "1"],
        ["second", "2", "7.0", "s", "128", "MB", "2"],
    ]
    _show_head(Terminal(), Head([]))
    assert "priority" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "exit_code"),
    [("nonsense", 2), ("localhost:1", 2), ("ftp://127.0.0.1:1", 2), ("http://127.0.0.1:1", 3)],
)
@pytest.mark.parametrize("action", [[], ["pause"], ["resume"], ["head"], ["rebuild"]])
def test_an_api_that_is_not_there_is_one_line(url: str, exit_code: int, action: list[str]) -> None:
    result = CliRunner().invoke(main, ["queue", *action, "--url", url], env={"MILLRACE_PORT": "8080"})
    assert result.exit_code == exit_code
    *steps, line = result.output.splitlines()
    assert url in line
    assert not steps or action == ["rebuild"]
