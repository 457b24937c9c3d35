"""`millrace routes`: the routes of an app: which function answers at a path, and within which limits."""

import click
import msgspec

from deploy.cli.answers import decode
from deploy.cli.asking import Api, Commands, asks_api, json_option
from deploy.cli.client import path_of, route_path
from deploy.cli.examples import examples
from deploy.cli.listing import Listing, show_list
from deploy.cli.route_options import route_of, route_options


class _Route(msgspec.Struct):
    path: str
    image: str
    type: str
    format: str
    memory: int
    timeout: int
    public: bool = False


class _Routes(msgspec.Struct):
    routes: list[_Route]


class _RouteAnswer(msgspec.Struct):
    route: dict[str, object]


@click.group("routes", cls=Commands)
def routes_group() -> None:
    """Routes: a path of an app, and the function that is called there."""


@routes_group.command("list")
@click.argument("app")
@click.option("--image", default="", help="Only those of this image.")
@json_option
@asks_api
@examples("millrace routes list mine")
async def list_routes(api: Api, app: str, image: str, as_json: bool) -> None:
    """List the routes of an app by path."""
    columns = ("path", "image", "type", "format", "memory", "timeout", "who may call")
    listing = Listing(path_of("v1", "apps", app, "routes"), columns, _rows)
    await show_list(api, listing, {"image": image} if image else {}, as_json=as_json, limit=None)


@routes_group.command("create")
@click.argument("app")
@click.argument("path")
@click.argument("image")
@route_options
@json_option
@asks_api
@examples(
    "millrace routes create mine /shout me/upper:1",
    "millrace routes create mine /mail me/upper:1 --type async --retry-attempts 3",
)
async def create_route(api: Api, /, app: str, path: str, as_json: bool, **options: object) -> None:
    """Create a route of APP at PATH whose function is IMAGE; the app too, if it is not there."""
    body = msgspec.json.encode({"route": {"path": path} | route_of(options)})
    _show(api, await api.client.ask("POST", path_of("v1", "apps", app, "routes"), body), as_json)


@routes_group.command("update")
@click.argument("app")
@click.argument("path")
@click.option("--image", help="The image whose program is the function.")
@route_options
@json_option
@asks_api
@examples("millrace routes update mine /upper --memory 128 --config LANGUAGE=en")
async def update_route(api: Api, /, app: str, path: str, as_json: bool, **options: object) -> None:
    """Change what is given of a route; the rest stays. Calls that were accepted before run as they were to run.

    `--config KEY=` and `--header 'Name:'` remove one. Retry options replace all of its retry policy.
    """
    body = msgspec.json.encode({"route": route_of(options)})
    _show(api, await api.client.ask("PATCH", route_path(app, path), body), as_json)


@routes_group.command("show")
@click.argument("app")
@click.argument("path")
@json_option
@asks_api
@examples("millrace routes show mine /upper")
async def show_route(api: Api, app: str, path: str, as_json: bool) -> None:
    """Show all that is set of a route."""
    _show(api, await api.client.ask("GET", route_path(app, path)), as_json)


@routes_group.command("delete")
@click.argument("app")
@click.argument("path")
@asks_api
@examples("millrace routes delete mine /shout")
async def delete_route(api: Api, app: str, path: str) -> None:
    """Delete a route. Calls of it that were accepted still run."""
    await api.client.ask("DELETE", route_path(app, path))
    api.terminal.line("deleted")


def _rows(answer: bytes) -> list[list[str]]:
    return [
        [
            *(route.path, route.image, route.type, route.format),
            *(f"{route.memory} MB", f"{route.timeout} s"),
            "anybody" if route.public else "by token",
        ]
        for route in decode(answer, _Routes).routes
    ]


def _show(api: Api, answer: bytes, as_json: bool) -> None:
    if as_json:
        api.terminal.data(answer)
    else:
        api.terminal.members(decode(answer, _RouteAnswer).route)
