"""Who may import whom: the contracts stand in pyproject.toml, this runs them and proves that they bite."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--config", directory / "pyproject.toml", "--no-cache"],
        capture_output=True,
        check=False,
        cwd=directory,
        text=True,
        timeout=50,
    )


def test_the_import_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("worker/stray.py", "import api"),
        ("api/stray.py", "import worker"),
        ("common/models/stray.py", "import api"),
        ("deploy/local/stray.py", "import worker"),
        ("common/queue/stray.py", "import common.store"),
        ("common/settings.py", "import common.telemetry"),
        ("common/stray.py", ""),
        ("worker/stray.py", "import aiodocker"),
        ("api/stray.py", "import aiodocker"),
    ],
)
def test_a_stray_import_breaks_them(tmp_path: Path, module: str, statement: str) -> None:
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    for package in ("api", "worker", "common", "deploy"):
        for source in sorted((ROOT / package).rglob("*.py")):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{statement}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 broken" in done.stdout or "2 broken" in done.stdout
