"""`millrace queue` shows every count, and says what is wrong in one line."""

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.cli.queue import Depth, _show
from deploy.cli.terminal import Terminal


def test_every_count_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ready = {"0": 11, "1": 12, "2": 13}
    depth = Depth("default", ready, 14, 15, 16, 17, 18, 19, 2500, conserved=False)
    _show(Terminal(), depth)
    shown = capsys.readouterr().out
    for number in (*range(11, 20), "2.5 s", "running", "DOES NOT ADD UP"):
        assert str(number) in shown


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1"])
def test_an_api_that_is_not_there_is_one_line(url: str) -> None:
    result = CliRunner().invoke(main, ["queue", "--url", url], env={"MILLRACE_PORT": "8080"})
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert url in line
