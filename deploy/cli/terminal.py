"""What a person sees: steps with their outcome, warnings, tables. Colours and moving lines only on a terminal.

What was asked for goes to standard output, and what was not, to standard error: errors, remarks, a call's live log.
Text and bytes of users do nothing to a terminal (control.py); off a terminal, bytes stay as they are.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

import click

from common.settings import wants_color
from common.telemetry.harmless import harmless, one_line
from deploy.cli.control import HarmlessStream
from deploy.cli.tables import Widths, clipped, lay_out, wrapped


class Terminal:
    """Lines may come while a step is in progress: they appear above it.

    Unless it *outlives_reader*, printing raises OSError when nobody reads any more, or there is no room.
    """

    def __init__(self, *, outlives_reader: bool = True) -> None:
        self._moves = _is_terminal(sys.stdout)
        self._streams = {
            err: HarmlessStream() if _is_terminal(stream) else None
            for err, stream in ((False, sys.stdout), (True, sys.stderr))
        }
        self._pending = ""
        self._outlives_reader = outlives_reader

    def title(self, text: str) -> None:
        self._show(click.style(f"\n{harmless(text)}", bold=True))

    def line(self, text: str = "") -> None:
        """Print one line or several, above the step in progress."""
        self._show(harmless(text))

    def data(self, data: bytes) -> None:
        """Print bytes: as they are, but on a terminal as text that does nothing to it."""
        self._data(data, err=False)

    def live(self, data: bytes) -> None:
        """Print bytes as ``data`` does, now, to standard error."""
        self._data(data, err=True)

    def remark(self, text: str) -> None:
        """Print a line to standard error: it must not come between what is asked for."""
        self._show(click.style(harmless(text), dim=True), err=True)

    def note(self, text: str) -> None:
        self._show(click.style(harmless(text), dim=True))

    def warning(self, text: str) -> None:
        self._show(click.style("! ", fg="yellow", bold=True) + harmless(text))

    def error(self, text: str) -> None:
        self._show(click.style("✗ ", fg="red", bold=True) + harmless(text), err=True)

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[Callable[[str], None]]:
        """Show *name* as in progress while the block runs, then how long it took, or that it failed.

        Yields a function that changes what is shown beside it."""
        start, mark = time.monotonic(), click.style("✗", fg="red")

        def show(text: str) -> None:
            nonlocal detail
            text = one_line(text)
            if self._pending and text == detail:
                return
            detail = text
            self._wipe()
            # One line of the terminal at most: only one is wiped.
            shown = clipped(text, _columns_of_terminal() - len(f"  … {name:<10}     …    "))
            self._pending = (
                f"  {click.style('…', fg='cyan')} {name:<10} {click.style('    …', dim=True)}    {shown}"
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
        below: Widths = (),
    ) -> Widths:
        """Print rows under their columns, each followed by its details, by name. Returns the columns' widths.

        On a terminal that is too narrow for a row, it is several lines. *below*: the widths of a table that this one
        goes on with, without the columns' names.
        """
        shown = [[printable(cell) for cell in row] for row in rows]
        layout = lay_out(columns, shown, below, _columns_of_terminal())
        if not below:
            for line in layout.lines(columns):
                self._show(click.style(line, bold=True))
        for place, row in enumerate(shown):
            for line in layout.lines(row):
                self._show(line)
            for name, text in details[place].items() if details else ():
                self._show(f"      {click.style(f'{name:<7}', dim=True)} {one_line(text)}")
        return layout.widths

    def members(self, members: Mapping[str, object]) -> None:
        """Print each member of a JSON object on a line, those of objects in it by their names together."""
        flat = dict(_flat(members))
        width = max(map(len, flat), default=0)
        for name, text in flat.items():
            first, *rest = wrapped(printable(text), width + 4, _columns_of_terminal())
            self._show(f"  {click.style(printable(name).ljust(width), bold=True)}  {first}".rstrip())
            for line in rest:
                self._show(f"{'':{width + 4}}{line}")

    def _data(self, data: bytes, *, err: bool) -> None:
        stream = self._streams[err]
        click.echo(data if stream is None else stream.feed(data), nl=False, err=err)

    def _show(self, text: str, *, err: bool = False) -> None:
        """Print *text*, which may have colours of ours, above the step in progress."""
        self._wipe()
        self._print(text, err=err)
        self._draw()

    def _wipe(self) -> None:
        if self._pending and self._moves:
            self._print("\r\x1b[K", end="", color=True)

    def _draw(self) -> None:
        if self._pending and self._moves:
            self._print(self._pending, end="")

    def _print(self, text: str, end: str = "\n", *, err: bool = False, color: bool | None = None) -> None:
        try:
            click.echo(text + end, nl=False, err=err, color=color)
        except OSError:  # the terminal may be gone; all the more must everything be stopped in order
            if not self._outlives_reader:
                raise


def use_color(context: click.Context, environ: Mapping[str, str]) -> None:
    """Print no colours in this command where the reader wants none (NO_COLOR)."""
    if not wants_color(environ):
        context.color = False


def utc(instant: datetime | None) -> str:
    """An instant in a table, to the second."""
    return "-" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def printable(text: str) -> str:
    """*text* in one line, without what would move a terminal."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _columns_of_terminal() -> int:
    """How wide standard output is; 0 for what has no width."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):  # ValueError: a stream without a descriptor
        return 0


def _flat(members: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield prefix + name, value
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False)
