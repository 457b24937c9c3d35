"""What aiohttp's protocol has to say before a request exists, as our structured log lines.

Bytes that are no HTTP are anybody's to send, so they are one line without a traceback.
"""

from aiohttp.http_exceptions import HttpProcessingError

from common.telemetry.logs import get_logger

_log = get_logger("http")


class ProtocolLog:
    """Stands where aiohttp wants a logger, with the methods that its protocol calls."""

    def debug(self, message: str, *args: object, exc_info: object = None) -> None:
        _log.debug(message % args, error=repr(exc_info) if exc_info else None)

    def warning(self, message: str, *args: object) -> None:
        _log.warning(message % args)

    def exception(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        if isinstance(exc_info, HttpProcessingError):
            _log.info("refused what is no HTTP", error=type(exc_info).__name__)
        else:
            _log.error(message % args, exc_info=exc_info or True)
