"""The function image of the tests: a static busybox that evaluates ``$SCRIPT``; and images that differ from it.

Its tag is the hash of its content: it is made once on a machine, and stays as it is for whoever uses it meanwhile.
"""

import asyncio
import hashlib
import io
import secrets
import shutil
import tarfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio

from tests.conftest import skip_or_fail

APPLETS = ("cat", "dd", "echo", "env", "false", "head", "sh", "sleep", "tail", "tr", "true", "wc")
ENTRYPOINT = 'ENTRYPOINT ["/bin/sh", "-c", "eval \\"$SCRIPT\\""]'


def _root_file_system() -> bytes:
    """The image's content; nothing where there is no busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        return b""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in ("bin", "tmp", "proc", "dev", "sys", "etc"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        content = Path(busybox).read_bytes()
        program.size, program.mode = len(content), 0o755
        archive.addfile(program, io.BytesIO(content))
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()


ROOT = _root_file_system()
SHELL_IMAGE = f"millrace-test/shell:{hashlib.sha256(ROOT + ENTRYPOINT.encode()).hexdigest()[:16]}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shell_image(docker: str) -> str:
    """The image's name, once the engine has it."""
    if not ROOT:
        skip_or_fail("busybox-static is not installed: ./deploy/test installs it as root")
    if await _run("image", "inspect", SHELL_IMAGE) != 0:
        assert await _run("import", "--change", ENTRYPOINT, "-", SHELL_IMAGE, payload=ROOT) == 0
    return SHELL_IMAGE


@asynccontextmanager
async def derived_image(*changes: str, script: str = "") -> AsyncIterator[str]:
    """The shell image after *script* has run in it as root, with these changes of its configuration."""
    name = f"millrace-test-{secrets.token_hex(4)}"
    image = f"{name}:latest"
    options = ("--name", name, "--network", "none", "--user", "0", "--env", f"SCRIPT={script}")
    try:
        assert await _run("run", *options, SHELL_IMAGE) == 0
        assert await _run("commit", *(f"--change={change}" for change in changes), name, image) == 0
    finally:
        await _run("rm", "--force", name)
    try:
        yield image
    finally:
        await _run("rmi", image)


async def _run(*arguments: str, payload: bytes = b"") -> int | None:
    process = await asyncio.create_subprocess_exec(
        *("docker", *arguments), stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL
    )
    async with asyncio.timeout(60):
        await process.communicate(payload)
    return process.returncode
