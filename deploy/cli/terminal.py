"""What a person sees: steps with their outcome, warnings, tables. Colours and moving lines only on a terminal.

What was asked for goes to standard output, and what was not, to standard error: errors, remarks, a call's live log.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click


class Terminal:
    """Lines may come while a step is in progress: they appear above it.

    Unless it *outlives_reader*, printing raises BrokenPipeError when nobody reads any more.
    """

    def __init__(self, *, outlives_reader: bool = True) -> None:
        self._moves = sys.stdout.isatty()
        self._pending = ""
        self._outlives_reader = outlives_reader

    def title(self, text: str) -> None:
        self.line(click.style(f"\n{text}", bold=True))

    def line(self, text: str = "") -> None:
        """Print one line or several, above the step in progress."""
        self._wipe()
        self._print(text)
        self._draw()

    def data(self, data: bytes) -> None:
        """Print bytes as they are."""
        click.echo(data, nl=False)

    def live(self, data: bytes) -> None:
        """Print bytes as they are, now, to standard error."""
        click.echo(data, nl=False, err=True)

    def remark(self, text: str) -> None:
        """Print a line to standard error: it must not come between what is asked for."""
        self._wipe()
        self._print(click.style(text, dim=True), err=True)
        self._draw()

    def note(self, text: str) -> None:
        self.line(click.style(text, dim=True))

    def warning(self, text: str) -> None:
        self.line(click.style("! ", fg="yellow", bold=True) + text)

    def error(self, text: str) -> None:
        self._wipe()
        self._print(click.style("✗ ", fg="red", bold=True) + text, err=True)
        self._draw()

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[Callable[[str], None]]:
        """Show *name* as in progress while the block runs, then how long it took, or that it failed.

        Yields a function that changes what is shown beside it."""
        start, mark = time.monotonic(), click.style("✗", fg="red")

        def show(text: str) -> None:
            nonlocal detail
            if self._pending and text == detail:
                return
            detail = text
            self._wipe()
            self._pending = (
                f"  {click.style('…', fg='cyan')} {name:<10} {click.style('    …', dim=True)}    {text}"
            )
            self._draw()

        show(detail)
        try:
            yield show
            mark = click.style("✓", fg="green")
        finally:
            self._wipe()
            self._pending = ""
            took = click.style(f"{time.monotonic() - start:5.1f} s", dim=True)
            self._print(f"  {mark} {name:<10} {took}  {detail}".rstrip())

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        details: Sequence[Mapping[str, str]] = (),
        *,
        below: Sequence[int] = (),
    ) -> list[int]:
        """Print rows under their columns, each followed by its details, by name. Returns the columns' widths.

        *below*: the widths of a table that this one goes on with, without the columns' names.
        """
        shown = [[printable(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
        if below:
            widths = [max(pair) for pair in zip(widths, below, strict=True)]
        else:
            self.line("  " + click.style(_aligned(columns, widths), bold=True))
        for place, row in enumerate(shown):
            self.line("  " + _aligned(row, widths))
            for name, text in details[place].items() if details else ():
                self.line(f"      {click.style(f'{name:<7}', dim=True)} {text}")
        return widths

    def members(self, members: Mapping[str, object]) -> None:
        """Print each member of a JSON object on a line, those of objects in it by their names together."""
        flat = dict(_flat(members))
        width = max(map(len, flat), default=0)
        for name, text in flat.items():
            self.line(f"  {click.style(name.ljust(width), bold=True)}  {printable(text)}".rstrip())

    def _wipe(self) -> None:
        if self._pending and self._moves:
            self._print("\r\x1b[K", end="")

    def _draw(self) -> None:
        if self._pending and self._moves:
            self._print(self._pending, end="")

    def _print(self, text: str, end: str = "\n", *, err: bool = False) -> None:
        try:
            click.echo(text + end, nl=False, err=err)
        except OSError:  # the terminal may be gone; all the more must everything be stopped in order
            if not self._outlives_reader:
                raise


def utc(instant: datetime | None) -> str:
    """An instant in a table, to the second."""
    return "-" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def printable(text: str) -> str:
    """*text* in one line, without what would move a terminal."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)


def _flat(members: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield prefix + name, value
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
