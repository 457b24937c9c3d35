"""The options that set a route's fields, and the JSON that the api wants of them. What is not given is left out.

Checks no range: the api says what is wrong, for every client alike.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from common.models.retry import RETRIABLE
from deploy.cli.durations import DURATION
from deploy.cli.members import as_config, as_headers, config_file_option, headers_of

Command = TypeVar("Command", bound=Callable[..., Any])

_RETRY = "retry_"
_OPTIONS = (
    click.option(
        "--type", type=click.Choice(["sync", "async"]), help="Whether the caller waits for the answer."
    ),
    click.option(
        "--format",
        type=click.Choice(["default", "json", "http"]),
        help="How the function speaks; default is cold.",
    ),
    click.option("--memory", type=int, metavar="MB", help="What its container may use."),
    click.option("--timeout", type=DURATION, metavar="TIME", help="How long a call may run."),
    click.option(
        "--idle-timeout", type=DURATION, metavar="TIME", help="How long a hot container stays without a call."
    ),
    click.option(
        "-c",
        "--config",
        multiple=True,
        callback=as_config,
        metavar="KEY=VALUE",
        help="A variable of its environment, over the app's.",
    ),
    config_file_option,
    click.option(
        "-H",
        "--header",
        "headers",
        multiple=True,
        callback=as_headers,
        metavar="'NAME: VALUE'",
        help="A header of every answer.",
    ),
    click.option("--public/--no-public", default=None, help="Whether anybody may call it, without a token."),
    click.option(
        "--writable-root/--no-writable-root", default=None, help="Whether it may write to its image."
    ),
    click.option("--json-framing", type=click.Choice(["universal", "line"]), help="How format json frames."),
    click.option(
        "--body-encoding", type=click.Choice(["text", "base64"]), help="How format json holds bodies."
    ),
    click.option("--network", type=click.Choice(["none", "internet"]), help="What its containers reach."),
    click.option(
        "--max-age",
        type=DURATION,
        metavar="TIME",
        help="Async: start no call that is due for longer; 0: any.",
    ),
    click.option(
        "--retry-attempts",
        "retry_max_attempts",
        type=int,
        metavar="N",
        help="Async: runs of a call that fails.",
    ),
    click.option(
        "--retry-backoff",
        type=DURATION,
        metavar="TIME",
        help="Async: the wait after the first, then doubled.",
    ),
    click.option("--retry-backoff-max", type=DURATION, metavar="TIME", help="Async: the longest wait."),
    click.option(
        "--retry-on",
        type=click.Choice(RETRIABLE),
        multiple=True,
        help="Async: after which failures; any, if not given.",
    ),
)


def route_options(command: Command) -> Command:
    """Give *command* an option for each field that may be set."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def route_of(options: Mapping[str, Any]) -> dict[str, object]:
    """The members of the route that the options ask for."""
    config = (*options.get("config_file", ()), *options.get("config", ()))
    options = {name: value for name, value in options.items() if name != "config_file"} | {"config": config}
    given = {name: value for name, value in options.items() if value not in (None, (), "")}
    retry = {name.removeprefix(_RETRY): given.pop(name) for name in list(given) if name.startswith(_RETRY)}
    made: dict[str, Callable[[Any], object]] = {"config": dict, "headers": headers_of}
    route = {name: made[name](value) if name in made else value for name, value in given.items()}
    return route | ({"retry": retry} if retry else {})
