"""The account that the embedded servers run under: our own, or as root an unprivileged one.

Postgres refuses to run as root, and nothing else of ours should have to.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "millrace"
FALLBACK_USER = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """Who a child runs as. ``note`` says what a person should know about the choice; mostly empty."""

    name: str
    uid: int
    gid: int
    note: str = ""

    def may_enter(self, directory: Path) -> bool:
        """Tell whether the permission bits let this account pass through *directory*."""
        status = directory.stat()
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


def own_account() -> Account:
    """Return the account of this process."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    return Account(name, uid, os.getegid())


def service_account() -> Account:
    """Return the account for servers: our own; as root `millrace`, made when missing; failing that, `nobody`.

    Blocks for a moment when the user is made: call it in a thread."""
    if os.geteuid() != 0:
        return own_account()
    trouble = "" if _exists(SERVICE_USER) else _make_user(SERVICE_USER)
    if _exists(SERVICE_USER):
        return _of(SERVICE_USER)
    note = f"the system user {SERVICE_USER} could not be made ({trouble}): servers run as {FALLBACK_USER}"
    return _of(FALLBACK_USER, note)


def _exists(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _of(name: str, note: str = "") -> Account:
    entry = pwd.getpwnam(name)
    return Account(name, entry.pw_uid, entry.pw_gid, note)


def _make_user(name: str) -> str:
    """Make a system user without a home or a shell; what went wrong, if anything did."""
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return "useradd is not installed"
    command = [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        done = subprocess.run(
            [*command, "--shell", "/usr/sbin/nologin", name],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().replace("\n", "; ")
