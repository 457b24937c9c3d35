"""deploy/up and deploy/test, in a folder without an environment: what they say before they set anything up."""

import shutil
import subprocess
from pathlib import Path

import pytest

import deploy

SCRIPTS = Path(deploy.__file__).parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the scripts alone."""
    folder = tmp_path / "deploy"
    folder.mkdir()
    for name in ("up", "test", "setup.sh"):
        shutil.copy(SCRIPTS / name, folder / name)
    return tmp_path


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run it where no program is but `cat` and `dirname`: whatever is set up fails."""
    programs = checkout / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("cat", "dirname"):
        found = shutil.which(name)
        assert found
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(found)
    bash = shutil.which("bash") or "bash"
    script = checkout / "deploy" / command[0]
    return subprocess.run(
        [bash, script, *command[1:]],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("up", ["--once", "--no-demo", "--setup", "--help", "MILLRACE_WORKER_PORT"]),
        (
            "test",
            [
                "unit architecture conformance integration browser e2e chaos",
                "--minutes",
                "-- ",
                "--help",
                "CI=true",
            ],
        ),
    ],
)
def test_help_is_told_before_anything_is_set_up(checkout: Path, script: str, told: list[str]) -> None:
    for option in ("--help", "-h"):
        result = run(checkout, script, option)
        assert (result.returncode, result.stderr) == (0, "")
        assert [text for text in told if text not in result.stdout] == []
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("up --frobnicate", "--frobnicate"),
        ("up once", "'once'"),
        ("up --setup --no-dema", "--no-dema"),
        ("test --frobnicate", "-- --frobnicate"),
        ("test nosuch", "tiers: unit"),
        ("test images", "tiers: unit"),
        ("test unit --minutes", "--minutes wants a value"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_set_up(
    checkout: Path, command: str, said: str
) -> None:
    result = run(checkout, *command.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (checkout / ".venv").exists()
