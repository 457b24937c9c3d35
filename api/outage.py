"""Outage: says once that something is away and once that it is back, however often that is found out."""

from common.telemetry.logs import get_logger

_log = get_logger("outage")


class Outage:
    """Whether *what* works, as far as its user knows."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.is_on = False

    def began(self, error: Exception) -> None:
        """Note a failure; only the first one is logged."""
        if not self.is_on:
            self.is_on = True
            _log.warning(f"{self._what}: failing", error=str(error), cause=repr(error.__cause__))

    def ended(self) -> None:
        """Note a success; only the one that ends an outage is logged."""
        if self.is_on:
            self.is_on = False
            # As loud as the failure: who was shown that must be shown this.
            _log.warning(f"{self._what}: works again")
