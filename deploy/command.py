"""The command `millrace` as it is installed: ready for Ctrl-C and for closed or full streams at once."""

import io
import os
import signal
import sys
from types import FrameType
from typing import NoReturn, TextIO

from common.telemetry.streams import drop_unwritten, open_missing_streams

FAILED, INTERRUPTED = 1, 130


def main() -> NoReturn:
    """Run the command and exit. Output that can't be written is one line on standard error and exit code 1."""
    signal.signal(signal.SIGINT, _leave)
    open_missing_streams()
    sys.stdout, sys.stderr = _lenient(sys.stdout), _lenient(sys.stderr)
    from deploy.cli import main as command  # noqa: PLC0415  (takes most of a second)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: str | int | None = None
    try:
        command()
    except SystemExit as end:
        code = end.code
    except OSError as error:
        code = FAILED
        sys.stderr.write(f"millrace: {error.strerror or error}\n")
    drop_unwritten()
    sys.exit(code)


def _lenient(stream: TextIO) -> TextIO:
    """*stream* for any text, whatever the locale and whatever bytes an argument had.

    And with a buffer, also where Python was told to have none: without one a short write is taken for a whole one.
    """
    if isinstance(stream.buffer, io.RawIOBase):
        return open(stream.fileno(), "w", encoding=stream.encoding, errors="backslashreplace", closefd=False)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)
