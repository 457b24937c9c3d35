"""How many files and connections this process may have open: the soft limit is raised to the hard one at its start.

Many systems start programs with a soft limit of 1024, for the sake of those that use select(). None of ours does.
"""

import resource


def raise_open_files_limit() -> None:
    """Let the process have as many files open as the system allows it. Never fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_files_limit() -> int | None:
    """The soft limit; None if there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
