"""RetryPolicy: which failed runs of an async call are tried again, how often, and after which wait. Pure."""

from typing import Annotated

from msgspec import Meta, Struct

from common.errors import RoutesInvalidRetryError
from common.wording import did_you_mean, shown

MAX_RETRY_ATTEMPTS = 20
MAX_BACKOFF_S = 24 * 3600
RETRIABLE = ("timeout", "killed", "bad_exit")  # the reasons of failed calls


def _up_to(most: int, description: str) -> Meta:
    # Only for who reads the schema: validate says it with an error of its own.
    return Meta(description=description, extra_json_schema={"minimum": 1, "maximum": most})


_ATTEMPTS = _up_to(
    MAX_RETRY_ATTEMPTS, "How often the call runs at most, the first time counted; 1 is no retry."
)
_BACKOFF = _up_to(MAX_BACKOFF_S, "Seconds before the second run; the wait doubles with each further one.")
_BACKOFF_MAX = _up_to(MAX_BACKOFF_S, "Seconds that a wait is at most.")
_ON = Meta(description="The reasons of a failure after which the call runs again.")


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """``max_attempts`` counts the first run: 1 is no retry. The wait doubles from ``backoff`` to ``backoff_max``, in s.

    ``on``: the reasons after which a call is tried again.
    """

    max_attempts: Annotated[int, _ATTEMPTS] = 1
    backoff: Annotated[int, _BACKOFF] = 1
    backoff_max: Annotated[int, _BACKOFF_MAX] = 300
    on: Annotated[tuple[Annotated[str, Meta(extra_json_schema={"enum": RETRIABLE})], ...], _ON] = RETRIABLE

    def validate(self) -> None:
        """Raise RoutesInvalidRetryError naming the field that is out of range."""
        for name, value, most in (
            ("max_attempts", self.max_attempts, MAX_RETRY_ATTEMPTS),
            ("backoff", self.backoff, MAX_BACKOFF_S),
            ("backoff_max", self.backoff_max, MAX_BACKOFF_S),
        ):
            if not 1 <= value <= most:
                raise RoutesInvalidRetryError(
                    f"retry.{name} must be 1 to {most}, not {shown(value)}", field=f"route.retry.{name}"
                )
        for reason in self.on:
            if reason not in RETRIABLE:
                raise RoutesInvalidRetryError(
                    f"retry.on may name {', '.join(RETRIABLE)}, not {shown(reason)}.{did_you_mean(reason, RETRIABLE)}",
                    field="route.retry.on",
                )

    def delay_ms(self, reason: str | None, attempt: int, draw: float) -> int | None:
        """How long to wait after failed attempt number *attempt*; None: that was the last one, or no reason to retry.

        *draw* in [0, 1) is the jitter: the wait is between half of the doubled backoff and all of it.
        """
        if reason not in self.on or attempt >= self.max_attempts:
            return None
        doubled_s: int = min(self.backoff << min(attempt - 1, 20), self.backoff_max)
        return round(doubled_s * 1000 * (1 + draw) / 2)
