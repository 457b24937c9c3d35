"""An image with the Python that runs the tests, packed from where it stands: no registry, no compiler, no package.

Packed are the interpreter, the standard library but for what no function needs, and the shared libraries of both, all
at the paths that they have here. Named by a hash of the content: made once on a machine, and kept for the next run.
"""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

INTERPRETER = Path(sys.executable).resolve()
LIBRARY = Path(sysconfig.get_path("stdlib"))
# For people, for builds and for tests; and what would bring large libraries along.
LEFT_OUT = {
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo"),
    *("ensurepip", "distutils", "pydoc_data", "unittest", "sqlite3", "curses", "ctypes", "msilib"),
}
EXTENSIONS_LEFT_OUT = (
    "_ssl.",
    "_sqlite3.",
    "_tkinter.",
    "_curses",
    "_dbm.",
    "_gdbm.",
    "_test",
    "_ctypes",
    "readline.",
)
FOLDERS = ("dev", "proc", "sys", "tmp", "etc")
CHANGES = ("ENV PATH=/usr/local/bin:/usr/bin:/bin", 'CMD ["python"]')


async def make_python_image() -> str:
    """The image's name, once the engine has it. ``python`` and ``python3`` are on its PATH."""
    files = await asyncio.to_thread(_files)
    name = f"millrace-test/python:{await asyncio.to_thread(_digest, files)}"
    if await docker("image", "ls", "--quiet", name) == "":
        changes = [f"--change={change}" for change in CHANGES]
        await docker("import", *changes, "-", name, payload=await asyncio.to_thread(_pack, files))
    return name


async def build_image(folder: Path) -> str:
    """Build the Dockerfile of *folder* on the packed Python in place of ``python:3-slim``; the image's name."""
    base = await make_python_image()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            content = path.read_bytes().replace(b"FROM python:3-slim\n", f"FROM {base}\n".encode())
            _add(archive, path.name, content, 0o755)
    digest = hashlib.sha256(context.getvalue()).hexdigest()[:16]
    name = f"millrace-test/{folder.name}:{digest}"
    if await docker("image", "ls", "--quiet", name) == "":
        await docker("build", "--quiet", "--network=none", f"--tag={name}", "-", payload=context.getvalue())
    return name


async def docker(*arguments: str, payload: bytes = b"") -> str:
    """Run the docker command; what it printed. Fails the test if the command does."""
    process = await asyncio.create_subprocess_exec(
        *("docker", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        output, errors = await process.communicate(payload)
    assert process.returncode == 0, errors.decode()
    return output.decode().strip()


def _digest(files: dict[str, Path]) -> str:
    """Name the content. Compiled files don't count: they come and go with what has run here."""
    digest = hashlib.sha256(repr((FOLDERS, CHANGES)).encode())
    for path, source in files.items():
        if source.suffix != ".pyc":
            digest.update(path.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _pack(files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in FOLDERS:
            _add_special(archive, folder, tarfile.DIRTYPE)
        for name in ("python", "python3"):
            _add_special(archive, f"usr/local/bin/{name}", tarfile.SYMTYPE, str(INTERPRETER))
        for path, source in files.items():
            # Compiled files next to a source name its time: without it each start would compile again.
            _add(archive, path.lstrip("/"), source.read_bytes(), 0o755, int(source.stat().st_mtime))
    return buffer.getvalue()


def _files() -> dict[str, Path]:
    """What to pack, by its path in the image, sorted."""
    files = {str(path): path for path in _library()}
    programs = [INTERPRETER, *(path for path in files.values() if path.suffix == ".so")]
    for program in programs:
        files |= {path: Path(path) for path in _shared_libraries(program)}
    return dict(sorted((files | {str(INTERPRETER): INTERPRETER}).items()))


def _library() -> Iterator[Path]:
    for folder, folders, names in os.walk(LIBRARY):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith("config-")]
        for name in names:
            is_compiled_otherwise = name.endswith((".opt-1.pyc", ".opt-2.pyc"))
            if not is_compiled_otherwise and not name.startswith(EXTENSIONS_LEFT_OUT):
                yield Path(folder, name)


def _shared_libraries(program: Path) -> Iterator[str]:
    """The paths by which *program* finds its libraries, and the loader's."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for line in listing.splitlines():
        words = line.replace("=>", " ").split()
        yield from (word for word in words if word.startswith("/") and Path(word).exists())


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int, changed_at: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), mode, changed_at
    archive.addfile(entry, io.BytesIO(content))


def _add_special(archive: tarfile.TarFile, name: str, kind: bytes, target: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, 0o755, target
    archive.addfile(entry)
