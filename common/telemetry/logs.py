"""Structured logs on stderr: JSON lines, or readable ones on a terminal. Never a payload, a config value or a token.

What libraries say through Python's own logging comes out as such lines too.
"""

import logging
import sys
from typing import Literal

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

Logger = structlog.typing.FilteringBoundLogger


def configure_logs(level: str, form: Literal["auto", "json", "console"], process: str) -> None:
    """Set up logging for this process, once, at its start. ``auto``: console on a terminal, else JSON."""
    is_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        # plain tracebacks: the default ones print local variables, and with them payloads and secrets
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
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
            structlog.processors.format_exc_info if not is_console else _unchanged,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


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
    return msgspec.json.encode(event, enc_hook=str).decode()


def _unchanged(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return event
