"""The systems under test, and the function image that they run: a static busybox that evaluates ``$SCRIPT``."""

import asyncio
import io
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import skip_or_fail
from tests.e2e.system import SHELL_IMAGE, System, no_containers

APPLETS = ("cat", "dd", "echo", "env", "false", "head", "sh", "sleep", "tail", "true", "wc")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shell_image(docker: str) -> str:
    busybox = shutil.which("busybox")
    if busybox is None:
        skip_or_fail("busybox-static is not installed: ./deploy/test installs it as root")
    assert busybox is not None
    process = await asyncio.create_subprocess_exec(
        *(
            "docker",
            "import",
            "--change",
            'ENTRYPOINT ["/bin/sh", "-c", "eval \\"$SCRIPT\\""]',
            "-",
            SHELL_IMAGE,
        ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await process.communicate(_root_file_system(Path(busybox)))
    assert process.returncode == 0
    return SHELL_IMAGE


def _root_file_system(busybox: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in ("bin", "tmp", "proc", "dev", "sys", "etc"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = busybox.stat().st_size, 0o755
        with busybox.open("rb") as content:
            archive.addfile(program, content)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()


@pytest.fixture
async def system(
    database_url: str, redis_url: str, shell_image: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[System]:
    """A running api; the test starts workers as it needs them. Nothing may be left in the engine after it."""
    async with System(database_url, redis_url, tmp_path) as system:
        yield system
    await no_containers("millrace")
