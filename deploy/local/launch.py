"""Becomes another program, under the right account, and never outlives its parent.

Run as `python -I -S launch.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT…]`, with the standard library alone: takes
the account, asks the kernel for SIGNAL when PARENT dies, and execs PROGRAM. A program of its own, because this must
happen between fork and exec, where the code of a running event loop has no business.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the program; raises OSError when a step is refused."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if os.geteuid() != uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    # After setuid, which would clear it. A parent that died before this line is seen by the check after it.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(f"{command[0]}: not started, its parent is gone")
    os.execv(command[0], command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
