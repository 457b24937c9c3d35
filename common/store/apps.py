"""The apps of the store. Validates nothing but that a name is given: names have their rules in the model."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from msgspec.structs import replace

from common.errors import (
    AppsAlreadyExistsError,
    AppsNotFoundError,
    DatastoreEmptyAppError,
    DatastoreEmptyAppNameError,
    TooManyAppsError,
)
from common.models import App, AppFilter, CallStatus, Config, merge_config
from common.models.app import validate_config
from common.settings import Settings
from common.store.base import RemovedCalls
from common.store.database import Connection, OnDatabase
from common.store.queries import query
from common.store.text import searchable

# Of a page of calls. Payloads and results may be large, and nobody but who wants these very calls waits for it.
PAGE_TIMEOUT_S = 120.0
REMOVE_TIMEOUT_S = 30.0  # of each step when the app itself goes: meanwhile no sync call is recorded


class Apps(OnDatabase):
    """Apps, by name in byte order. The promises stand in Datastore."""

    async def get_app(self, app_name: str) -> App:
        require_app_name(app_name)
        async with self._database.connection() as connection:
            return _found(await connection.fetchrow(query("get_app"), searchable(app_name)))

    async def get_apps(self, filter: AppFilter | None = None) -> list[App]:
        wanted = filter or AppFilter()
        names = [searchable(name) for name in wanted.name_in]
        cursor, name = searchable(wanted.cursor), searchable(wanted.name)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("get_apps"), cursor, name, names, wanted.per_page)
        return [_app(row) for row in rows]

    async def insert_app(self, app: App | None) -> App:
        app = _given(app)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("insert_app"), *_columns(app), self._settings.apps_max)
            if row is None and await connection.fetchrow(query("get_app"), app.name) is None:
                raise too_many_apps(self._settings)
        if row is None:
            raise AppsAlreadyExistsError
        return _app(row)

    async def update_app(self, app: App | None) -> App:
        change = _given(app)
        name = searchable(change.name)
        async with self._database.transaction() as connection:
            old = _found(await connection.fetchrow(query("lock_app"), name))
            merged = replace(old, config=merge_config(old.config, change.config))
            if merged == old:
                return old
            validate_config(merged.config, "app.config")
            return _found(await connection.fetchrow(query("update_app"), name, merged.config))

    async def remove_calls_of_app(self, app: App, after: UUID, limit: int) -> RemovedCalls:
        page = searchable(app.name), app.created_at, after, limit
        async with self._database.transaction() as connection:
            rows = await connection.fetch(query("lock_page_of_app"), *page)
            if not rows:
                raise AppsNotFoundError
            locked = [row for row in rows if row["status"] is not None]
            await _remove_calls(connection, locked, PAGE_TIMEOUT_S)
        last: UUID | None = rows[-1]["id"] if len(rows) == limit else None
        return RemovedCalls(unfinished=_unfinished(locked), last=last)

    async def remove_keys_of_app(self, app_name: str, after: str, limit: int) -> str | None:
        page = searchable(app_name), after, limit
        async with self._database.connection() as connection:
            (row,) = await connection.fetch(query("remove_page_of_keys"), *page)
        return row["last"] if row["count"] == limit else None

    async def remove_app(self, app_name: str) -> list[UUID]:
        require_app_name(app_name)
        name = searchable(app_name)
        async with self._database.transaction() as connection:
            if await connection.fetchrow(query("remove_app"), name) is None:
                raise AppsNotFoundError
            rows = await connection.fetch(query("lock_calls_of_app"), name, timeout=REMOVE_TIMEOUT_S)
            await _remove_calls(connection, rows, REMOVE_TIMEOUT_S)
            await connection.execute(query("remove_keys_of_app"), name, timeout=REMOVE_TIMEOUT_S)
            # Last, because from here on no token can be created or revoked.
            await connection.execute(query("remove_tokens_of_app"), name)
        return _unfinished(rows)


async def _remove_calls(connection: Connection, rows: Sequence[Record], timeout_s: float) -> None:
    await connection.execute(query("remove_calls"), [row["id"] for row in rows], timeout=timeout_s)


def _unfinished(rows: Sequence[Record]) -> list[UUID]:
    return [row["id"] for row in rows if not CallStatus(row["status"]).is_final]


async def ensure_app(connection: Connection, app: App, settings: Settings) -> None:
    """Insert *app* unless its name is taken; either way nobody removes it before the transaction ends.

    Raises TooManyAppsError.
    """
    if await connection.fetchrow(query("ensure_app"), *_columns(app), settings.apps_max) is None:
        raise too_many_apps(settings)


def too_many_apps(settings: Settings) -> TooManyAppsError:
    """The error that says how many there may be."""
    return TooManyAppsError(
        f"There are {settings.apps_max} apps, as many as there may be (MILLRACE_APPS_MAX): delete one first",
        field="app.name",
    )


def require_app_name(app_name: str) -> None:
    """Raise DatastoreEmptyAppNameError for no name."""
    if not app_name:
        raise DatastoreEmptyAppNameError


def _given(app: App | None) -> App:
    if app is None:
        raise DatastoreEmptyAppError
    require_app_name(app.name)
    return app


def _columns(app: App) -> tuple[str, Config, datetime | None, datetime | None]:
    return app.name, app.config, app.created_at, app.updated_at


def _found(row: Record | None) -> App:
    if row is None:
        raise AppsNotFoundError
    return _app(row)


def _app(row: Record) -> App:
    # By name: the table may have columns of a newer version, which runs beside this one.
    return App(**{name: row[name] for name in App.__struct_fields__})
