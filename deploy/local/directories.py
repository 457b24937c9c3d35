"""Directories and locks of a server: made with the permissions they need, never changed when they were there.

Two kinds: ours (the password, locks and logs; the service account may only pass through) and the service
account's (the data). As root we write only into the first kind, so that a server gone bad can't lead us through
a symlink.
"""

import asyncio
import fcntl
import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from deploy.local.account import Account
from deploy.local.errors import LocalServerError

SOCKET_PATH_MAX_BYTES = 107
LOCK_POLL_S = 0.05


def make_own_directory(path: Path, account: Account) -> Path:
    """Return *path* as a directory of ours that *account* can pass through; it and its parents are made if missing.

    Raises LocalServerError for one that exists and is not usable; nothing that exists is changed."""
    path = path.resolve()
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in (path, *path.parents):
        if directory not in missing and not (directory.is_dir() and account.may_enter(directory)):
            raise LocalServerError(
                f"{directory} can't be entered by the user {account.name}, who runs the embedded servers: "
                "set MILLRACE_DATA_DIR to a directory that others may pass through"
            )
    mode = 0o700 if account.uid == os.geteuid() else 0o711
    for directory in reversed(missing):
        _make_directory(directory, mode)
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise LocalServerError(
            f"{path} is not ours alone: it must belong to us and be writable by no one else"
        )
    return path


def make_service_directory(path: Path, account: Account) -> Path:
    """Return *path*, in a directory of ours, as one that only *account* can use (0700); made when missing."""
    if not path.exists():
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        os.chown(made, account.uid, account.gid)
        made.rename(path)
    status = path.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
        raise LocalServerError(
            f"{path} must be a directory of the user {account.name} that nobody else can open (mode 0700); "
            "it was left as it is"
        )
    return path


def socket_directory(data: Path, socket_name: str, account: Account) -> Path:
    """Return where the socket goes: *data*, or where that makes too long a path, a short directory like it."""
    if len(os.fsencode(data / socket_name)) <= SOCKET_PATH_MAX_BYTES:
        return data
    runtime = Path("/run") if os.geteuid() == 0 else Path(f"/run/user/{os.geteuid()}")
    base = runtime if os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    parent = make_own_directory(base / f"millrace-{os.geteuid()}", account)
    return make_service_directory(parent / hashlib.sha256(os.fsencode(data)).hexdigest()[:16], account)


def read_or_make_password(path: Path) -> str:
    """Return the password in *path* (0600), generated the first time."""
    if not path.exists():
        fd, name = tempfile.mkstemp(prefix=".password-", dir=path.parent)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(24))
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    return path.read_text().strip()


async def lock(path: Path, refusal: str, *, wait_s: float = 0.0) -> int:
    """Lock *path* for us and all who inherit the returned descriptor, until the last of them has closed it.

    Raises LocalServerError(*refusal*) when another holds it for *wait_s*. Safe to cancel."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        async with asyncio.timeout(wait_s or None):
            while not _try_lock(fd):
                if not wait_s:
                    raise LocalServerError(refusal)
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        os.close(fd)
        raise LocalServerError(refusal) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_directory(path: Path, mode: int) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # another start was faster: the permissions are its to set
        return
    path.chmod(mode)
