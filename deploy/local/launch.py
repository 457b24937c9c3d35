"""Becomes another program, under the right account, and never outlives its parent.

Run as `python -I -S launch.py ORDER PROGRAM [ARGUMENT…]`, with the standard library alone; ORDER is JSON: takes the
account, asks the kernel for a signal when the parent dies, and execs PROGRAM. A program of its own, because this must
happen between fork and exec, where the code of a running event loop has no business.

    parent, signal    whose end means this signal
    uid, gid          the account
    reach             folders that the account must reach. Those in a folder that is closed to it (code below /root) are
                      shown to PROGRAM alone, in a mount namespace. Where that can't be, PROGRAM keeps our account and
                      a line on stderr says so.
    binds_low_ports   whether it may listen on ports below 1024
    blocked           signals that never reach PROGRAM, as far as it leaves its signal mask alone
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 38, 47, 2
CAP_NET_BIND_SERVICE, CAPABILITIES_V3 = 10, 0x20080522
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000

libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Replace this process by the program; raises OSError when a step is refused."""
    order, command = json.loads(arguments[0]), arguments[1:]
    if os.geteuid() != order["uid"]:
        change_account(order, command)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_BLOCK, order["blocked"])
    # After setuid, which would clear it. A parent that died before this line is seen by the check after it.
    check(libc.prctl(PR_SET_PDEATHSIG, order["signal"], 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != order["parent"]:
        sys.exit(f"{command[0]}: not started, its parent is gone")
    os.execv(command[0], command)  # noqa: S606  (no shell is wanted)


def change_account(order: dict[str, Any], command: list[str]) -> None:
    """Take the account for good. Keeps ours, and says so, if the account can't reach what it must."""
    reach = [Path(folder) for folder in order["reach"]]
    if reach:
        try:
            show(reach, order)
            try_as(order, lambda: look_at(reach, command))
        except OSError as error:
            sys.stderr.write(f"runs as root: user {order['uid']} can't reach the program's code ({error})\n")
            return
    take_account(order, binds_low_ports=order["binds_low_ports"])
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def take_account(order: dict[str, Any], *, binds_low_ports: bool = False) -> None:
    if binds_low_ports:
        check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setgid(order["gid"])
    os.setuid(order["uid"])
    if binds_low_ports:
        one = 1 << CAP_NET_BIND_SERVICE
        header = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0)
        sets = (ctypes.c_uint32 * 6)(
            one, one, one, 0, 0, 0
        )  # effective, permitted, inheritable; twice 32 bits
        check(libc.capset(header, sets), "capset")
        raised = libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0)
        check(raised, "prctl(PR_CAP_AMBIENT)")


def show(reach: list[Path], order: dict[str, Any]) -> None:
    """Let the account reach these folders: over each closed folder above them an empty one, with just them in it."""
    closed: dict[Path, list[Path]] = {}
    for folder in reach:
        above = next((parent for parent in reversed(folder.parents) if not may_enter(parent, order)), None)
        if above is not None:
            closed.setdefault(above, []).append(folder)
    if not closed:
        return
    check(libc.unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    for above, folders in closed.items():
        there = [os.open(folder, os.O_PATH | os.O_DIRECTORY) for folder in folders]
        mount("tmpfs", above, "tmpfs", 0, "mode=0711")
        for folder, fd in zip(folders, there, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{fd}", folder, "", MS_BIND | MS_REC)
            os.close(fd)


def may_enter(folder: Path, order: dict[str, Any]) -> bool:
    status = folder.stat()
    shift = 6 if status.st_uid == order["uid"] else 3 if status.st_gid == order["gid"] else 0
    return bool(status.st_mode & (0o1 << shift))


def look_at(reach: list[Path], command: list[str]) -> None:
    """Raise OSError unless the folders can be read, the program can be run, and this file, as one of the code's."""
    for folder in reach:
        list(folder.iterdir())
    Path(__file__).read_bytes()
    if not os.access(command[0], os.X_OK):
        raise PermissionError(f"{command[0]} can't be run")


def try_as(order: dict[str, Any], work: Any) -> None:
    """Do *work* as the account, in a process of its own. Raises OSError if it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            take_account(order)
            work()
        except OSError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123  (a descriptor)
        said = pipe.read().decode()
    os.waitpid(child, 0)
    if said:
        raise PermissionError(said)


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    texts = [os.fsencode(text) for text in (source, target, kind)]
    check(libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(data)), f"mount over {target}")


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
