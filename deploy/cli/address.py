"""Where the command line looks for the api, and what told it so: shown when nobody answers there.

`millrace up` leaves its address in the data directory, so that the commands of the same user find it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from common.settings import Settings
from deploy.cli.service import reachable_host

FILE = "api-address"
ADDRESS_MAX_BYTES = 300


class Address(NamedTuple):
    """An address of an api, and where it is from, in words that follow it."""

    url: str
    origin: str


def find_address(url: str, settings: Settings) -> Address:
    """The address that *url* (of --url) is, else the settings', else the one that was left, else the default."""
    if url:
        return Address(url, "as --url says")
    if settings.url:
        return Address(settings.url, "as MILLRACE_URL says")
    listening = f"http://{reachable_host(settings.host)}:{settings.port}"
    default = Settings(data_dir=settings.data_dir)
    if (settings.host, settings.port) != (default.host, default.port):
        return Address(listening, "as MILLRACE_HOST and MILLRACE_PORT say")
    file = Path(settings.data_dir) / FILE
    if left := _read(file):
        return Address(left, f"as `millrace up` left it in {file}")
    nobody = f"the default, as no `millrace up` of this user left another in {file}"
    return Address(listening, f"{nobody}: start one with ./deploy/up, or set MILLRACE_URL or --url")


@contextmanager
def left_address(data: Path, url: str) -> Iterator[None]:
    """Leave *url* in the data directory, for its owner alone, while the block runs."""
    file = data / FILE
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(f"{url}\n")
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()


def _read(file: Path) -> str:
    try:
        with file.open("rb") as left:
            return left.read(ADDRESS_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
