"""The images of the benchmarks, made here without a registry: a hot echo from echo.c, and the tests' shell image.

Each is named by its content, made once on a machine, and stays.
"""

import asyncio
import hashlib
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from tests import shell_image
from tests.load.engine import Engine

ECHO = Path(__file__).parent / "sync" / "echo.c"
COMPILE_S = 60.0


class ImageError(Exception):
    """An image can't be made here."""


async def echo_image(engine: Engine) -> str:
    """A function in format json, json_framing line, that answers with the body. Raises ImageError without gcc."""
    return await compiled(engine, "millrace-load/echo", ECHO)


async def compiled(engine: Engine, repository: str, source: Path) -> str:
    """An image with nothing in it but the program of one C file. Raises ImageError without gcc."""
    reference = f"{repository}:{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if await engine.image_id(reference) is None:
        program = await _compile(source)
        await engine.import_image(reference, _archive(source.stem, program), f'ENTRYPOINT ["/{source.stem}"]')
    return reference


async def shell(engine: Engine) -> str:
    """A busybox that evaluates $SCRIPT. Raises ImageError without a static busybox."""
    if await engine.image_id(shell_image.SHELL_IMAGE) is None:
        if not shell_image.ROOT:
            raise ImageError("busybox is not installed: apt-get install busybox-static")
        await engine.import_image(shell_image.SHELL_IMAGE, shell_image.ROOT, shell_image.ENTRYPOINT)
    return shell_image.SHELL_IMAGE


async def _compile(source: Path) -> bytes:
    if shutil.which("gcc") is None:
        raise ImageError("gcc is not installed: apt-get install gcc libc6-dev")
    with tempfile.TemporaryDirectory(prefix="millrace-load-") as directory:
        program = Path(directory) / source.stem
        process = await asyncio.create_subprocess_exec(
            *("gcc", "-O2", "-static", "-o", program, source),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMPILE_S):
            said, _ = await process.communicate()
        if process.returncode != 0:
            raise ImageError(f"gcc: {said.decode(errors='replace').strip()}")
        return program.read_bytes()


def _archive(name: str, program: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()
