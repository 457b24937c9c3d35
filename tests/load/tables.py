"""Markdown tables, as all reports have them."""

from collections.abc import Iterable, Sequence

from tests.load.target import Target

_WORDS = {True: "yes", False: "**no**", None: "not measured"}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, is_words: bool = False) -> str:
    """The first column is words; the others are numbers, unless *is_words*."""
    others = "---" if is_words else "---:"
    lines = [heads, ["---", *[others] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def targets_table(targets: Iterable[Target]) -> str:
    """What was wanted, what was measured, and whether that is enough."""
    rows = [(target.wanted, target.measured, _WORDS[target.is_reached]) for target in targets]
    return table(("target", "measured", "reached"), rows, is_words=True)
