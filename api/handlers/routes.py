"""/v1/apps/{app}/routes: create, list, show, merge into, delete routes. ``…/routes/`` is the root route, ``/``."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from api.answers import Done, FieldWarning, RouteAnswer, RouteList
from api.keys import BODIES, ROUTES, STORE
from api.parameters import app_name_of, key_cursor, key_cursor_of, per_page_of, route_path_of
from api.route_rules import check_image, check_writable_root, is_admin
from api.schemas import JSON_MAX_BYTES, Decoded, decode_route, json_response, route_json
from api.tokens import TOKEN
from common.errors import (
    RoutesAlreadyExistsError,
    RoutesInvalidPathError,
    RoutesMissingPathError,
    RoutesNotFoundError,
    RoutesPathImmutableError,
)
from common.models import App, Route, RouteFilter, Scope, clean_path, normalize_path, validate_app_name
from common.wording import shown

CREATED = "Route successfully created"
UPDATED = "Route successfully updated"


async def list_routes(request: web.Request) -> web.Response:
    app_name, per_page = app_name_of(request), per_page_of(request)
    wanted = RouteFilter(
        app_name=app_name,
        image=request.query.get("image", ""),
        per_page=per_page,
        cursor=key_cursor_of(request),
    )
    routes = await request.app[STORE].get_routes_by_app(app_name, wanted)
    if not routes:
        await request.app[STORE].get_app(app_name)
    cursor = key_cursor(routes[-1].path, len(routes), per_page) if routes else ""
    return json_response(
        RouteList(
            message="Successfully listed routes",
            next_cursor=cursor,
            routes=[route_json(route) for route in routes],
        )
    )


async def create_route(request: web.Request) -> web.Response:
    app_name = app_name_of(request)
    route, warnings = await _body(request, app_name)
    if not route.path:
        raise RoutesMissingPathError(field="route.path")
    validate_app_name(app_name)
    route = replace(route, path=normalize_path(route.path))
    return _answer(CREATED, await _insert(request, route), warnings)


async def get_route(request: web.Request) -> web.Response:
    """The route. As by Fn v1, a slash too many at the end is redirected."""
    spelt = request.match_info["route"]
    if spelt and request.raw_path.partition("?")[0].endswith("/"):
        target = request.rel_url.with_path(request.rel_url.raw_path[:-1], encoded=True, keep_query=True)
        return web.Response(status=301, headers={"Location": str(target)})
    route = await request.app[STORE].get_route(app_name_of(request), route_path_of(request))
    return _answer("Successfully loaded route", route)


async def put_route(request: web.Request) -> web.Response:
    change, warnings = await _change(request)
    try:
        return _answer(UPDATED, await _update(request, change), warnings)
    except RoutesNotFoundError:
        validate_app_name(change.app_name)
        if normalize_path(change.path) != change.path:  # doubly escaped: it could not be named in a body
            raise RoutesInvalidPathError(field="route.path") from None
    try:
        return _answer(CREATED, await _insert(request, change), warnings)
    except RoutesAlreadyExistsError:  # by another request, meanwhile
        return _answer(UPDATED, await _update(request, change), warnings)


async def update_route(request: web.Request) -> web.Response:
    change, warnings = await _change(request)
    return _answer(UPDATED, await _update(request, change), warnings)


async def delete_route(request: web.Request) -> web.Response:
    app_name, path = app_name_of(request), route_path_of(request)
    await request.app[STORE].remove_route(app_name, path)
    request.app[ROUTES].forget(app_name, path)
    return json_response(Done(message="Route deleted"))


async def _insert(request: web.Request, route: Route) -> Route:
    """Create the route, and its app with it; but not for a token of that app, which may have been deleted meanwhile."""
    now = datetime.now(UTC)
    route = route.set_defaults(now)
    route.validate()
    check_writable_root(request, route)
    token = request.get(TOKEN)
    if token is not None and token.scope is not Scope.ADMIN:
        return await request.app[STORE].insert_route(route)
    return await request.app[STORE].put_route(route, App(name=route.app_name).set_defaults(now))


async def _update(request: web.Request, change: Route) -> Route:
    """Change the route. Everybody may name a writable root that it has already: clients send what they got."""
    if change.writable_root and not is_admin(request):
        present = await request.app[STORE].get_route(change.app_name, change.path)
        if not present.writable_root:
            check_writable_root(request, change)
    route = await request.app[STORE].update_route(change)
    request.app[ROUTES].forget(route.app_name, route.path)
    return route


async def _change(request: web.Request) -> Decoded[Route]:
    """The body, for the route that the URL names. Raises RoutesPathImmutableError if the body names another one."""
    app_name, path = app_name_of(request), route_path_of(request)
    change, warnings = await _body(request, app_name)
    spelt = change.path
    if spelt not in ("", path) and not (spelt.startswith("/") and clean_path(unquote(spelt)) == path):
        raise RoutesPathImmutableError(
            field="route.path", detail=f"the URL names {shown(path)}, the body {shown(spelt)}"
        )
    return Decoded(replace(change, path=path), warnings)


async def _body(request: web.Request, app_name: str) -> Decoded[Route]:
    async with request.app[BODIES].body(request, JSON_MAX_BYTES) as body:
        decoded = decode_route(body, app_name)
    check_image(request, decoded.value.image)
    return decoded


def _answer(message: str, route: Route, warnings: Sequence[FieldWarning] = ()) -> web.Response:
    return json_response(
        RouteAnswer(message=message, route=route_json(route), warnings=list(warnings) or UNSET)
    )
