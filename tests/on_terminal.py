"""The command `millrace` on a terminal of its own, as a person has it."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from typing import NamedTuple

from tests.millrace_command import MILLRACE

LIMIT_S = 60


class Seen(NamedTuple):
    """How a command ended, and all that it wrote to its terminal, with CR LF as LF."""

    exit_code: int
    text: str


def run_on_terminal(
    *arguments: str, columns: int = 80, others: dict[str, str] | None = None, **environ: object
) -> Seen:
    """Run it with standard output and error on a terminal of that width; *others*: variables that are not ours."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        variables.pop(name, None)
    variables |= {"TERM": "xterm"} | (others or {})
    variables |= {f"MILLRACE_{name.upper()}": str(value) for name, value in environ.items()}
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*MILLRACE, *arguments], stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=variables
    )
    os.close(its)
    written = b""
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:  # EIO: nobody has it open any more
        pass
    finally:
        os.close(ours)
    return Seen(process.wait(LIMIT_S), written.decode().replace("\r\n", "\n"))
