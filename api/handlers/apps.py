"""/v1/apps: create, list, show, change, delete apps."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import web
from msgspec import UNSET

from api.answers import AppAnswer, AppList, Done, FieldWarning
from api.keys import ANNOUNCER, BODIES, QUEUE, ROUTES, STORE, TOKENS
from api.parameters import app_name_of, key_cursor, key_cursor_of, per_page_of
from api.schemas import JSON_MAX_BYTES, Decoded, app_json, decode_app, json_response
from api.tokens import TOKEN
from common.errors import AppsNameImmutableError, QueueUnavailableError
from common.models import App, AppFilter
from common.models.app import validate_config
from common.wording import shown

BATCH = 200  # of calls, or of keys, that are removed together
BEFORE_ALL_IDS = UUID(int=0)


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
    app, warnings = await _body(request)
    app.validate()
    created = await request.app[STORE].insert_app(app.set_defaults(datetime.now(UTC)))
    return _answer("App successfully created", created, warnings)


async def get_app(request: web.Request) -> web.Response:
    app = await request.app[STORE].get_app(app_name_of(request))
    return _answer("Successfully loaded app", app)


async def update_app(request: web.Request) -> web.Response:
    name = app_name_of(request)
    change, warnings = await _body(request)
    if change.name not in ("", name):
        raise AppsNameImmutableError(
            field="app.name", detail=f"the app is {name}, the body names {shown(change.name)}"
        )
    validate_config(change.config, "app.config")
    app = await request.app[STORE].update_app(App(name=name, config=change.config))
    request.app[ROUTES].forget(name)
    return _answer("App successfully updated", app, warnings)


async def delete_app(request: web.Request) -> web.Response:
    name = app_name_of(request)
    await _empty(request, await request.app[STORE].get_app(name))
    unfinished = await request.app[STORE].remove_app(name)
    request.app[ANNOUNCER].tell(unfinished)
    request.app[ROUTES].forget(name)
    await request.app[TOKENS].reread()
    await _cancel_in_queue(request, unfinished)
    return json_response(Done(message="App deleted"))


async def _empty(request: web.Request, app: App) -> None:
    """Remove what waits or has ended, a batch at a time, before the app itself goes with what is left.

    So nobody waits long for it, however much there is. If it breaks off, the app is still there, and smaller: asked
    again, it goes on.
    """
    store, has_queue = request.app[STORE], True
    after: UUID | None = BEFORE_ALL_IDS
    while after is not None:
        removed = await store.remove_calls_of_app(app, after, BATCH)
        request.app[ANNOUNCER].tell(removed.unfinished)
        if removed.unfinished and has_queue:  # once it is away, it is not waited for again and again
            has_queue = await _cancel_in_queue(request, removed.unfinished)
        after = removed.last
    key: str | None = ""
    while key is not None:
        key = await store.remove_keys_of_app(app.name, key, BATCH)


async def _cancel_in_queue(request: web.Request, unfinished: Sequence[UUID]) -> bool:
    """Whether the queue could be told. Else what waits is found to be gone at its turn, and what runs goes on."""
    try:
        await request.app[QUEUE].cancel(unfinished)
    except QueueUnavailableError:
        return False
    return True


async def _body(request: web.Request) -> Decoded[App]:
    async with request.app[BODIES].body(request, JSON_MAX_BYTES) as body:
        return decode_app(body)


def _answer(message: str, app: App, warnings: Sequence[FieldWarning] = ()) -> web.Response:
    return json_response(AppAnswer(message=message, app=app_json(app), warnings=list(warnings) or UNSET))
