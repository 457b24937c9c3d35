"""The name of the machine whose memory workers share."""

from pathlib import Path

import pytest

from worker import sharing


def test_a_machine_that_does_not_tell_its_name_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_BOOT_ID", tmp_path / "boot_id")
    assert sharing.machine() == ""
    (tmp_path / "boot_id").write_text("abc\n")
    assert sharing.machine() == "abc"
