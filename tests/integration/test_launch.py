"""Programs under another account: what they may reach, and what becomes of the rights of root."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.account import Account, own_account
from deploy.local.child import Child, Program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the account")

OTHER = Account("nobody", 65534, 65534)
CODE = """
import os, socket, sys
from pathlib import Path
print(os.getuid(), os.getgid(), os.getgroups())
print(Path(sys.argv[1], "data").read_text())
try:
    print(os.listdir(Path(sys.argv[1]).parent))
except OSError as error:
    print(error.strerror)
try:
    socket.create_server(("127.0.0.1", int(sys.argv[2]))).close()
    print("listens")
except PermissionError:
    print("may not listen")
"""


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that others can read, in one that is closed to them, beside a secret."""
    with tempfile.TemporaryDirectory() as home:  # mode 0700
        folder = Path(home, "code")
        folder.mkdir(mode=0o755)
        (folder / "data").write_text("readable")
        Path(home, "secret").touch()
        yield folder


async def run(folder: Path, port: int, *, binds_low_ports: bool = False) -> list[str]:
    """What the program says, under the other account."""
    log = folder.parent / "log"
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    command = (python, "-I", "-c", CODE, str(folder), str(port))
    reach = (folder, Path(sys.prefix), Path(sys.base_prefix))
    program = Program("x", command, log, OTHER, reach=reach, binds_low_ports=binds_low_ports)
    child = await Child.start(program)
    await child.wait()
    return child.last_lines()


async def test_code_below_a_closed_folder_is_shown_to_the_program_alone(closed: Path) -> None:
    assert await run(closed, 0) == ["65534 65534 []", "readable", "Permission denied", "listens"]
    assert (closed.parent / "secret").exists()


async def test_a_low_port_needs_to_be_allowed(closed: Path) -> None:
    assert (await run(closed, 987))[-1] == "may not listen"
    assert (await run(closed, 987, binds_low_ports=True))[-1] == "listens"


async def test_code_that_the_account_can_not_read_runs_under_ours_and_says_so(closed: Path) -> None:
    closed.chmod(0o700)
    said, *rest = await run(closed, 0)
    assert said.startswith("runs as root: user 65534 can't reach the program's code")
    assert rest[0].startswith(f"{own_account().uid} ")
