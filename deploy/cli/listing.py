"""How all lists are shown: page by page, as they come, so that the longest one needs no more memory than one page.

As JSON, each page is one line: the api's own answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from deploy.cli.answers import decode
from deploy.cli.asking import Api
from deploy.cli.tables import Widths

PER_PAGE = 100


class _Page(msgspec.Struct):
    next_cursor: str = ""


class Listing(NamedTuple):
    """What is listed: where, under which columns, and the rows of an answer."""

    path: str
    columns: Sequence[str]
    rows: Callable[[bytes], list[list[str]]]


async def show_list(
    api: Api, listing: Listing, query: Mapping[str, str], *, as_json: bool, limit: int | None
) -> None:
    """Show the first *limit* items, at most PER_PAGE; without a limit, all of them. Raises ClientError."""
    widths: Widths = ()
    query = dict(query, per_page=str(limit or PER_PAGE))
    while True:
        answer = await api.client.ask("GET", listing.path, query=query)
        if as_json:
            api.terminal.data(answer.rstrip() + b"\n")
        else:
            widths = api.terminal.table(listing.columns, listing.rows(answer), below=widths)
        query["cursor"] = decode(answer, _Page).next_cursor
        if limit or not query["cursor"]:
            break
    if query["cursor"] and not as_json:
        api.terminal.remark("there may be more: --all shows them")
