"""Makes the demo functions' images from what is here, a static busybox and a script: no registry is needed."""

import asyncio
import hashlib
import io
import tarfile
from pathlib import Path

import deploy
from common.errors import FatalError

REPOSITORY = "millrace/demo"
LABEL = "demo.content"
BUSYBOX = Path("/bin/busybox")
FUNCTIONS = Path(deploy.__file__).parent / "functions"
DOCKER_S = 60.0


class DemoImageError(FatalError):
    """A demo function's image can't be made."""

    slug = "demo_image_failed"
    default_message = "The demo function's image could not be made"


async def make_demo_image(function: str, engine: str) -> str:
    """Make the image of *function*, a folder of FUNCTIONS, unless the engine at the socket *engine* has it; its name.

    Raises DemoImageError with what to do."""
    image = f"{REPOSITORY}:{function}"
    content = await asyncio.to_thread(_archive, FUNCTIONS / function / "func.sh")
    digest = hashlib.sha256(content).hexdigest()
    if await _docker(engine, "image", "ls", "--quiet", "--filter", f"label={LABEL}={digest}", image):
        return image
    entry = 'ENTRYPOINT ["/bin/sh", "/func.sh"]'
    await _docker(
        engine, "import", "--change", entry, "--change", f"LABEL {LABEL}={digest}", "-", image, stdin=content
    )
    await _docker(
        engine, "image", "prune", "--force", "--filter", f"label={LABEL}"
    )  # the one it replaced, if any
    return image


def _archive(script: Path) -> bytes:
    """Return the image's root as a tar, the same bytes each time."""
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
            _add(tar, "func.sh", script.read_bytes(), 0o755)
            for name in ("sh", "cat", "sleep"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            for name in ("tmp", "dev", "proc", "sys"):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
    except OSError as error:
        raise DemoImageError(f"{error}: install a static busybox (apt-get install busybox-static)") from error
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


async def _docker(engine: str, *arguments: str, stdin: bytes = b"") -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *("docker", "--host", f"unix://{engine}", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise DemoImageError("the docker command is not installed: ./deploy/up installs it as root") from None
    try:
        async with asyncio.timeout(DOCKER_S):
            output, errors = await process.communicate(stdin)
    except TimeoutError:
        raise DemoImageError(f"docker {arguments[0]} does not answer within {DOCKER_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise DemoImageError(f"docker {arguments[0]}: {errors.decode(errors='replace').strip()}")
    return output.decode().strip()
