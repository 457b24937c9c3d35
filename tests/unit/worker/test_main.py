"""What makes running pointless is said once, in one line."""

import pytest

from worker.__main__ import main


def test_a_bad_setting_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_WORKER_PORT", "many")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(
        'millrace worker: MILLRACE_WORKER_PORT: got "many", but it must be a whole number,'
    )
