"""What a run is judged by. A figure that was not taken leaves its target open."""

from msgspec import Struct


class Target(Struct, frozen=True, kw_only=True):
    """``is_reached`` is None where this run did not measure it."""

    wanted: str
    measured: str
    is_reached: bool | None
