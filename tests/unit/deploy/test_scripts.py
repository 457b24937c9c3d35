"""deploy/up and deploy/test, in a folder without an environment: what they say before they set anything up."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import deploy

SCRIPTS = Path(deploy.__file__).parent
PIP = """#!/bin/bash
[[ $* == *--version* ]] && exit
trap 'echo "Traceback: KeyboardInterrupt" >&2; exit 1' INT
touch "$(dirname "$0")/../../installing"
for ((i = 0; i < 300; i++)); do sleep 0.1; done
"""


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


def test_ctrl_c_in_the_set_up_is_one_line_and_exit_code_130(checkout: Path) -> None:
    """Whatever the program says that is interrupted: here one that takes its time to install packages."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for name in ("pyproject.toml", "deploy/requirements/runtime.txt"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    python.write_text(PIP)
    python.chmod(0o755)
    process = subprocess.Popen(
        ["bash", checkout / "deploy" / "up"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    while "Python packages" not in process.stdout.readline():
        pass
    for _ in range(500):
        if (checkout / "installing").exists():
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.strip().startswith("stopped")
    assert len(stderr.strip().splitlines()) == 1


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
