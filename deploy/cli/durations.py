"""Durations on the command line: plain seconds, or numbers with units, like 90s, 15m, 1h30m, 7d."""

import re
from typing import Any

import click

_PART = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_WHOLE = re.compile(r"(?:[0-9]{1,9}[smhd])+", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> int | None:
    """How many seconds *text* with units says; None for what has none."""
    if not _WHOLE.fullmatch(text):
        return None
    return sum(int(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


class Duration(click.ParamType[int]):
    """Seconds, as a whole number. Whether the api takes so many is for the api to say."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        seconds = seconds_of(value)
        if seconds is not None:
            return seconds
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is not seconds, nor like 90s, 15m, 1h30m or 7d", param, ctx)


DURATION = Duration()
