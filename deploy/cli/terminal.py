"""What a person sees: steps with their outcome, warnings, tables. Colours and moving lines only on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click


class Terminal:
    """Prints to standard output. Lines may come while a step is in progress: they appear above it."""

    def __init__(self) -> None:
        self._moves = sys.stdout.isatty()
        self._pending = ""

    def title(self, text: str) -> None:
        self.line(click.style(f"\n{text}", bold=True))

    def line(self, text: str = "") -> None:
        """Print one line or several, above the step in progress."""
        self._wipe()
        _print(text)
        self._draw()

    def note(self, text: str) -> None:
        self.line(click.style(text, dim=True))

    def warning(self, text: str) -> None:
        self.line(click.style("! ", fg="yellow", bold=True) + text)

    def error(self, text: str) -> None:
        self.line(click.style("✗ ", fg="red", bold=True) + text)

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
            _print(f"  {mark} {name:<10} {took}  {detail}".rstrip())

    def table(self, columns: list[str], rows: list[list[str]], details: list[dict[str, str]]) -> None:
        """Print rows under their columns, each followed by its details, by name."""
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        self.line("  " + click.style(_aligned(columns, widths), bold=True))
        for row, named in zip(rows, details, strict=True):
            self.line("  " + _aligned(row, widths))
            for name, text in named.items():
                self.line(f"      {click.style(f'{name:<7}', dim=True)} {text}")

    def _wipe(self) -> None:
        if self._pending and self._moves:
            _print("\r\x1b[K", end="")

    def _draw(self) -> None:
        if self._pending and self._moves:
            _print(self._pending, end="")


def _print(text: str, end: str = "\n") -> None:
    with suppress(OSError):  # the terminal may be gone; all the more must everything be stopped in order
        click.echo(text + end, nl=False)


def _aligned(cells: list[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
