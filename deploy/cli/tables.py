"""How tables and long values fit a width: columns that do not fit beside the others go on in a line below."""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MARGIN, GAP, INDENT = 2, 2, 4
VALUE_MIN = 20  # a narrower column for values reads worse than lines that the terminal breaks

Widths = Sequence[int]


class Layout(NamedTuple):
    """The widths of the columns, and which of them stand on one line."""

    widths: Widths
    groups: Sequence[range]

    def lines(self, cells: Sequence[str]) -> Iterator[str]:
        """The lines of one row; those after the first are indented."""
        for number, group in enumerate(self.groups):
            margin = " " * (MARGIN + INDENT * (number > 0))
            shown = (" " * GAP).join(_padded(cells[column], self.widths[column]) for column in group)
            yield (margin + shown).rstrip()


def lay_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], at_least: Widths, available: int
) -> Layout:
    """Fit the columns into lines of *available* characters; 0: one line, whatever its length."""
    widths = [max(map(_width, column)) for column in zip(columns, *rows, strict=True)]
    if at_least:
        widths = [max(pair) for pair in zip(widths, at_least, strict=True)]
    if not available:
        return Layout(widths, [range(len(widths))])
    groups, start, used = list[range](), 0, MARGIN
    for column, width in enumerate(widths):
        if column > start and used + width > available:
            groups.append(range(start, column))
            start, used = column, MARGIN + INDENT
        used += width + GAP
    return Layout(widths, [*groups, range(start, len(widths))])


def wrapped(text: str, indent: int, available: int) -> list[str]:
    """*text* in lines that fit beside *indent* characters; at least one. Breaks between words if it can."""
    if available - indent < VALUE_MIN:
        return [text]
    return textwrap.wrap(text, available - indent, drop_whitespace=True, break_on_hyphens=False) or [""]


def clipped(text: str, available: int) -> str:
    """*text*, or as much of its beginning as is narrower than *available* characters."""
    if _width(text) < available:
        return text
    while text and _width(text) >= available - 1:
        text = text[:-1]
    return f"{text}…" if text else ""


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """How many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
