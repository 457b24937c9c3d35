"""`millrace apps`: the apps, and the config that all routes of one share."""

from datetime import datetime

import click
import msgspec

from deploy.cli.answers import decode
from deploy.cli.asking import Api, Commands, ask, asks_api, confirm, json_option, url_option, yes_option
from deploy.cli.client import LONG_ANSWER_S, path_of
from deploy.cli.examples import examples
from deploy.cli.listing import Listing, show_list
from deploy.cli.members import Pairs, as_config, config_file_option
from deploy.cli.terminal import utc


class _App(msgspec.Struct):
    name: str
    config: dict[str, str] = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None


class _Apps(msgspec.Struct):
    apps: list[_App]


class _AppAnswer(msgspec.Struct):
    app: dict[str, object]


@click.group("apps", cls=Commands)
def apps_group() -> None:
    """Apps: what routes, their calls and tokens belong to."""


@apps_group.command("list")
@json_option
@asks_api
@examples("millrace apps list")
async def list_apps(api: Api, as_json: bool) -> None:
    """List all apps by name."""
    listing = Listing("/v1/apps", ("app", "config", "created (UTC)", "updated (UTC)"), _rows)
    await show_list(api, listing, {}, as_json=as_json, limit=None)


@apps_group.command("create")
@click.argument("name")
@click.option(
    "-c", "--config", multiple=True, callback=as_config, metavar="KEY=VALUE", help="A member of its config."
)
@config_file_option
@json_option
@asks_api
@examples("millrace apps create shop --config LOG_LEVEL=info")
async def create_app(api: Api, name: str, config: Pairs, config_file: Pairs, as_json: bool) -> None:
    """Create an app. The first route makes one, too, if it is not there."""
    body = msgspec.json.encode({"app": {"name": name, "config": dict((*config_file, *config))}})
    _show(api, await api.client.ask("POST", "/v1/apps", body), as_json)


@apps_group.command("show")
@click.argument("name", metavar="APP")
@json_option
@asks_api
@examples("millrace apps show mine")
async def show_app(api: Api, name: str, as_json: bool) -> None:
    """Show an app and its config."""
    _show(api, await api.client.ask("GET", path_of("v1", "apps", name)), as_json)


@apps_group.command("config")
@click.argument("name", metavar="APP")
@click.argument("config", nargs=-1, callback=as_config, metavar="[KEY=VALUE]...")
@config_file_option
@json_option
@asks_api
@examples("millrace apps config mine GREETING=Hello LOG_LEVEL=")
async def configure_app(api: Api, name: str, config: Pairs, config_file: Pairs, as_json: bool) -> None:
    """Change the config that the functions of all its routes find in their environment; show it.

    `KEY=` removes a key; other keys stay. Calls that were accepted before keep the config that they had.
    """
    config = (*config_file, *config)
    method, body = (
        ("PATCH", msgspec.json.encode({"app": {"config": dict(config)}})) if config else ("GET", b"")
    )
    _show(api, await api.client.ask(method, path_of("v1", "apps", name), body), as_json)


@apps_group.command("delete")
@click.argument("name", metavar="APP")
@yes_option
@url_option
@examples("millrace apps delete shop --yes")
def delete_app(name: str, is_sure: bool, url: str) -> None:
    """Delete an app with its routes, calls and tokens. Calls that wait are cancelled, those that run are killed."""
    confirm(f"Delete app {name} with its routes, its calls and all that is kept of them?", is_sure=is_sure)

    async def delete(api: Api) -> None:
        await api.client.ask("DELETE", path_of("v1", "apps", name), answer_s=LONG_ANSWER_S)
        api.terminal.line("deleted")

    ask(url, delete)


def _rows(answer: bytes) -> list[list[str]]:
    return [
        [app.name, " ".join(app.config) or "-", utc(app.created_at), utc(app.updated_at)]
        for app in decode(answer, _Apps).apps
    ]


def _show(api: Api, answer: bytes, as_json: bool) -> None:
    if as_json:
        api.terminal.data(answer)
    else:
        api.terminal.members(decode(answer, _AppAnswer).app)
