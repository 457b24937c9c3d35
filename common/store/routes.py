"""The routes of the store, and the revisions that calls are fixed to. Paths are taken literally."""

import msgspec
from asyncpg import ForeignKeyViolationError, Record

from common.errors import (
    AppsNotFoundError,
    DatastoreEmptyRouteError,
    DatastoreEmptyRoutePathError,
    RoutesAlreadyExistsError,
    RoutesNotFoundError,
    TooManyRoutesError,
)
from common.models import BODY_TEXT, FRAMING_UNIVERSAL, App, RetryPolicy, Route, RouteFilter, RouteRevision
from common.store.apps import ensure_app, require_app_name
from common.store.database import Connection, OnDatabase
from common.store.queries import query
from common.store.text import searchable


class Routes(OnDatabase):
    """Routes, by path in byte order. The promises stand in Datastore."""

    async def get_route(self, app_name: str, route_path: str) -> Route:
        require_route_name(app_name, route_path)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("get_route"), searchable(app_name), searchable(route_path))
        return _found(row)

    async def get_routes_by_app(
        self,
        app_name: str,
        filter: RouteFilter | None = None,
    ) -> list[Route]:
        require_app_name(app_name)
        wanted = filter or RouteFilter()
        texts = [searchable(text) for text in (app_name, wanted.cursor, wanted.image)]
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("get_routes_by_app"), *texts, wanted.per_page)
        return [_route(row) for row in rows]

    async def insert_route(self, route: Route | None) -> Route:
        route = _given(route)
        async with self._database.transaction() as connection:
            if await connection.fetchrow(query("lock_app"), searchable(route.app_name)) is None:
                raise AppsNotFoundError
            return await self._insert_route(connection, route)

    async def put_route(self, route: Route, app: App) -> Route:
        route = _given(route)
        require_app_name(app.name)
        async with self._database.transaction() as connection:
            await ensure_app(connection, app, self._settings)
            return await self._insert_route(connection, route)

    async def _insert_route(self, connection: Connection, route: Route) -> Route:
        """Insert it. The app's row is locked: of many that come at once each counts the others."""
        try:
            row = await connection.fetchrow(
                query("insert_route"), *_columns(route), route.created_at, route.updated_at
            )
        except ForeignKeyViolationError as error:
            raise AppsNotFoundError from error
        if row is None:
            raise RoutesAlreadyExistsError
        most = self._settings.app_max_routes
        if await connection.fetchval(query("count_routes"), route.app_name) > most:
            raise TooManyRoutesError(
                f"The app has {most} routes, as many as it may have (MILLRACE_APP_MAX_ROUTES): delete one first",
                field="route.path",
            )
        return _route(row)

    async def update_route(self, route: Route | None) -> Route:
        change = _given(route)
        names = searchable(change.app_name), searchable(change.path)
        async with self._database.transaction() as connection:
            old = _found(await connection.fetchrow(query("lock_route"), *names))
            merged = old.merge(change)
            if merged == old:
                return old
            merged.validate()
            return _found(await connection.fetchrow(query("update_route"), *_columns(merged)))

    async def remove_route(self, app_name: str, route_path: str) -> None:
        require_route_name(app_name, route_path)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                query("remove_route"), searchable(app_name), searchable(route_path)
            )
        if row is None:
            raise RoutesNotFoundError

    async def insert_revision(self, revision: RouteRevision) -> None:
        async with self._database.connection() as connection:
            await insert_revision(connection, revision)


async def insert_revision(connection: Connection, revision: RouteRevision) -> None:
    """Keep the revision, if its app is there."""
    content = msgspec.to_builtins(revision)
    del content["id"]
    await connection.execute(query("insert_revision"), revision.id, content)


def require_route_name(app_name: str, route_path: str) -> None:
    """Raise DatastoreEmptyAppNameError or DatastoreEmptyRoutePathError for what is missing, app first."""
    require_app_name(app_name)
    if not route_path:
        raise DatastoreEmptyRoutePathError


def _given(route: Route | None) -> Route:
    if route is None:
        raise DatastoreEmptyRouteError
    require_route_name(route.app_name, route.path)
    return route


def _columns(route: Route) -> tuple[object, ...]:
    return (
        route.app_name,
        route.path,
        route.image,
        route.memory,
        route.type,
        route.format,
        route.timeout,
        route.idle_timeout,
        route.headers,
        route.config,
        bool(route.writable_root),
        route.json_framing or FRAMING_UNIVERSAL,
        route.body_encoding or BODY_TEXT,
        bool(route.public),
        msgspec.to_builtins(route.retry or RetryPolicy()),
        route.max_age or 0,
        route.network,
    )


def _found(row: Record | None) -> Route:
    if row is None:
        raise RoutesNotFoundError
    return _route(row)


def _route(row: Record) -> Route:
    # By name: the table may have columns of a newer version, which runs beside this one.
    fields = {name: row[name] for name in Route.__struct_fields__}
    return Route(**fields | {"retry": msgspec.convert(row["retry"], RetryPolicy)})
