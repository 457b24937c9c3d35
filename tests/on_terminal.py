"""The command `millrace` on a terminal of its own, as a person has it. In this process, as a start takes its time."""

import fcntl
import os
import pty
import struct
import sys
import termios
import threading
from typing import NamedTuple
from unittest.mock import patch

from deploy.cli import main


class Seen(NamedTuple):
    """How a command ended, and all that it wrote to its terminal, with CR LF as LF."""

    exit_code: int
    text: str


def run_on_terminal(
    *arguments: str, columns: int = 80, others: dict[str, str] | None = None, **environ: object
) -> Seen:
    """Run it with standard output and error on a terminal of that width; *others*: variables that are not ours."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MILLRACE_") and name not in ("COLUMNS", "LINES", "NO_COLOR")
    }
    variables |= {"TERM": "xterm"} | (others or {})
    variables |= {f"MILLRACE_{name.upper()}": str(value) for name, value in environ.items()}
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    pieces: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, pieces))
    reader.start()
    exit_code = 0
    with (
        os.fdopen(its, "w", encoding="utf-8", errors="backslashreplace") as terminal,
        patch.multiple(
            sys, stdin=terminal, stdout=terminal, stderr=terminal
        ),  # nothing is read from a terminal
        patch.dict(os.environ, variables, clear=True),
    ):
        try:
            main(arguments)
        except SystemExit as end:
            exit_code = int(end.code or 0)
    reader.join(10)
    return Seen(exit_code, b"".join(pieces).decode().replace("\r\n", "\n"))


def _read(terminal: int, pieces: list[bytes]) -> None:
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:  # EIO: nobody has it open any more
        pass
    finally:
        os.close(terminal)
