"""Outage: says once that something fails and once that it works again, however often that is found out.

A server that does not answer is said by its Reach, once for the whole process: what fails for that is told at debug.
"""

import logging

from common.errors import QueueUnavailableError, StoreUnavailableError
from common.telemetry.logs import get_logger

_log = get_logger("outage")


class Outage:
    """Whether *what* works, as far as its user knows."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.is_on = False
        self._level = logging.WARNING

    def began(self, error: Exception) -> None:
        """Note a failure; only the first one is logged."""
        if not self.is_on:
            self.is_on = True
            is_servers = isinstance(error, StoreUnavailableError | QueueUnavailableError)
            self._level = logging.DEBUG if is_servers else logging.WARNING
            _log.log(self._level, "failing", what=self._what, error=str(error), cause=repr(error.__cause__))

    def ended(self) -> None:
        """Note a success; only the one that ends an outage is logged."""
        if self.is_on:
            self.is_on = False
            # As loud as the failure: who was shown that must be shown this.
            _log.log(self._level, "works again", what=self._what)
