"""Reach: whether a server answers this process. Says once that it does not, and once that it does again."""

import time
from collections.abc import Callable

from common.telemetry.logs import get_logger

QUIET_S = 10.0  # one that comes and goes is not said more often

_log = get_logger("servers")


class Reach:
    """Told of each use of *server* by whoever asks it. ``clock`` in seconds."""

    def __init__(self, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._away_since_s: float | None = None
        self._said_at_s = float("-inf")
        self._is_said = False

    def failed(self, cause: BaseException | None) -> None:
        """It did not answer."""
        if self._away_since_s is not None:
            return
        self._away_since_s = self._clock()
        self._is_said = self._away_since_s - self._said_at_s >= QUIET_S
        if self._is_said:
            self._said_at_s = self._away_since_s
            _log.warning("server is unreachable", server=self._server, cause=str(cause) or repr(cause))

    def answered(self) -> None:
        """It did."""
        if self._away_since_s is None:
            return
        away_s, self._away_since_s = self._clock() - self._away_since_s, None
        if self._is_said:
            # As loud as the failure: who was shown that must be shown this.
            _log.warning("server is reachable again", server=self._server, away_s=round(away_s, 1))
