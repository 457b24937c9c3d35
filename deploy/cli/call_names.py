"""How commands name a call: by its id, or by its app and its id."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate

import click

from deploy.cli.answers import CallAnswer, decode
from deploy.cli.asking import Api
from deploy.cli.client import path_of

Work = Callable[Concatenate[Api, str, str, ...], Awaitable[None]]


def of_call(work: Work) -> Callable[Concatenate[Api, ...], Awaitable[None]]:
    """Give *work* the arguments [APP] ID: without the app, the api is asked whose call it is."""

    @click.argument("names", nargs=-1, required=True, metavar="[APP] ID", callback=_one_or_two)
    @functools.wraps(work)
    async def named(api: Api, /, *, names: tuple[str, ...], **options: Any) -> None:
        *apps, call_id = names
        app = apps[0] if apps else await _app_of(api, call_id)
        await work(api, app, call_id, **options)

    return named


def _one_or_two(
    _context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    if len(names) > 2:
        raise click.UsageError(f"name one call, by its id or by its app and its id: {names[2]!r} is too much")
    return names


async def _app_of(api: Api, call_id: str) -> str:
    return decode(await api.client.ask("GET", path_of("v1", "calls", call_id)), CallAnswer).call.app_name
