"""How configs and headers are spelt on the command line: KEY=VALUE, and `Name: value`."""

from collections.abc import Callable, Iterable

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


def headers_of(pairs: Pairs) -> dict[str, list[str]]:
    """All values of each header; none for one whose only value is empty, which the api takes for its removal."""
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name, []).append(value)
    return {name: [] if values == [""] else values for name, values in headers.items()}
