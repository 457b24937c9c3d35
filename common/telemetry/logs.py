"""Structured logs on stderr: JSON lines, or readable ones on a terminal. Never a payload, a config value or a token.

What libraries say through Python's own logging comes out as such lines too.
"""

import json
import logging
import sys
from contextlib import suppress
from io import StringIO, TextIOBase
from typing import Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from common.telemetry.harmless import ACTIVE, harmless, one_line

Logger = structlog.typing.FilteringBoundLogger


def configure_logs(
    level: str, form: Literal["auto", "json", "console"], process: str, *, color: bool = True
) -> None:
    """Set up logging for this process, once, at its start. ``auto``: console on a terminal, else JSON."""
    is_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        # plain tracebacks: the default ones print local variables, and with them payloads and secrets
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and color, exception_formatter=_plain_traceback
        )
        if is_console
        else structlog.processors.JSONRenderer(serializer=_encode)
    )

    def add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_process,
            structlog.processors.format_exc_info if not is_console else _make_harmless,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Tolerant(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


class _Tolerant(TextIOBase):
    """Standard error; a line that can't be written (a full disk) is lost, and fails nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _LibraryHandler(logging.Handler):
    """One line for what a library logs. The cause in a few words: its traceback is about the library's own insides."""

    def emit(self, record: logging.LogRecord) -> None:
        cause = repr(record.exc_info[1]) if record.exc_info else None
        level = min(record.levelno, logging.ERROR)
        get_logger(record.name).log(level, record.getMessage(), **({"cause": cause} if cause else {}))


def get_logger(name: str) -> Logger:
    """A logger whose lines carry *name* as ``part``."""
    logger: Logger = structlog.get_logger(part=name)
    return logger


def _encode(event: EventDict, **_options: object) -> str:
    """One line of JSON. The characters that JSON lets through, and a terminal may act on, are escaped."""
    try:
        text = msgspec.json.encode(event, enc_hook=str).decode()
    except UnicodeEncodeError:  # bytes that were no UTF-8
        return json.dumps(event, default=str)
    return text if text.isascii() else ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _make_harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: one_line(value) if isinstance(value, str) else value for name, value in event.items()}


def _plain_traceback(sio: TextIO, exc_info: ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    sio.write(harmless(text.getvalue()))
