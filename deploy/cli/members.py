"""How configs and headers are spelt on the command line: KEY=VALUE, and `Name: value`."""

from collections.abc import Callable, Iterable
from typing import TextIO

import click

Pairs = tuple[tuple[str, str], ...]


def _parsed(separator: str, example: str) -> Callable[[click.Context, click.Parameter, Iterable[str]], Pairs]:
    def parse(_context: click.Context, _parameter: click.Parameter, values: Iterable[str]) -> Pairs:
        pairs = [(value, *value.partition(separator)) for value in values]
        for value, name, found, _ in pairs:
            if not (name and found):
                raise click.BadParameter(f"{value!r} is not like {example}")
        return tuple((name.strip(), text.strip() if separator == ":" else text) for _, name, _, text in pairs)

    return parse


as_config = _parsed("=", "KEY=VALUE")
as_headers = _parsed(":", "'Name: value'")


def _from_file(context: click.Context, parameter: click.Parameter, file: TextIO | None) -> Pairs:
    try:
        lines = [] if file is None else file.read().splitlines()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"is no UTF-8 text: {error.reason}") from None
    return as_config(
        context, parameter, [line for line in lines if line.strip() and not line.startswith("#")]
    )


config_file_option = click.option(
    "--config-file",
    type=click.File("r", encoding="utf-8"),
    callback=_from_file,
    help="A file of lines KEY=VALUE, - is standard input: every user of a machine can read its command lines.",
)


def headers_of(pairs: Pairs) -> dict[str, list[str]]:
    """All values of each header; none for one whose only value is empty, which the api takes for its removal."""
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name, []).append(value)
    return {name: [] if values == [""] else values for name, values in headers.items()}
