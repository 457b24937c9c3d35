"""/v1/apps: create, list, show, change, delete apps."""

from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import web

from api.answers import AppAnswer, AppList, Done
from api.keys import ANNOUNCER, BODIES, QUEUE, ROUTES, STORE, TOKENS
from api.parameters import app_name_of, key_cursor, key_cursor_of, per_page_of
from api.schemas import JSON_MAX_BYTES, app_json, decode_app, json_response
from api.tokens import TOKEN
from common.errors import AppsNameImmutableError, QueueUnavailableError
from common.models import App, AppFilter
from common.models.app import validate_config


async def list_apps(request: web.Request) -> web.Response:
    """A page of the apps; with a token of one app only that."""
    per_page = per_page_of(request)
    token = request.get(TOKEN)
    own = token.app_name if token else None
    wanted = AppFilter(name=own or "", per_page=per_page, cursor=key_cursor_of(request))
    apps = await request.app[STORE].get_apps(wanted)
    cursor = key_cursor(apps[-1].name, len(apps), per_page) if apps else ""
    return json_response(
        AppList(
            message="Successfully listed applications",
            next_cursor=cursor,
            apps=[app_json(app) for app in apps],
        )
    )


async def create_app(request: web.Request) -> web.Response:
    app = await _body(request)
    app.validate()
    created = await request.app[STORE].insert_app(app.set_defaults(datetime.now(UTC)))
    return _answer("App successfully created", created)


async def get_app(request: web.Request) -> web.Response:
    app = await request.app[STORE].get_app(app_name_of(request))
    return _answer("Successfully loaded app", app)


async def update_app(request: web.Request) -> web.Response:
    name = app_name_of(request)
    change = await _body(request)
    if change.name not in ("", name):
        raise AppsNameImmutableError(field="app.name")
    validate_config(change.config, "app.config")
    app = await request.app[STORE].update_app(App(name=name, config=change.config))
    request.app[ROUTES].forget(name)
    return _answer("App successfully updated", app)


async def delete_app(request: web.Request) -> web.Response:
    name = app_name_of(request)
    unfinished = await request.app[STORE].remove_app(name)
    request.app[ANNOUNCER].tell(unfinished)
    request.app[ROUTES].forget(name)
    await request.app[TOKENS].reread()
    # Without it what waits would be found to be gone when its turn comes, and what runs would run to its end.
    with suppress(QueueUnavailableError):
        await request.app[QUEUE].cancel(unfinished)
    return json_response(Done(message="App deleted"))


async def _body(request: web.Request) -> App:
    async with request.app[BODIES].body(request, JSON_MAX_BYTES) as body:
        return decode_app(body)


def _answer(message: str, app: App) -> web.Response:
    return json_response(AppAnswer(message=message, app=app_json(app)))
