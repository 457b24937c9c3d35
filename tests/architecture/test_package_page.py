"""Everything on the package page that the system follows exists here, in its Python spelling, and works."""

import inspect

import msgspec
import pytest

from api.middlewares import APIError, new_api_error
from common import errors, models
from common.models import (
    App,
    AppFilter,
    AppWrapper,
    Call,
    CallFilter,
    Error,
    ErrorBody,
    Reason,
    Route,
    RouteFilter,
    RouteWrapper,
)
from common.queue.base import MessageQueue
from common.queue.redis import RedisQueue
from common.store.base import Datastore, LogStore
from common.store.postgres import PostgresStore

CONSTANTS = {
    "TYPE_NONE": "",
    "TYPE_SYNC": "sync",
    "TYPE_ASYNC": "async",
    "FORMAT_DEFAULT": "default",
    "FORMAT_HTTP": "http",
    "FORMAT_JSON": "json",
    "DEFAULT_TIMEOUT": 30,
    "DEFAULT_IDLE_TIMEOUT": 30,
    "DEFAULT_MEMORY": 128,
    "MAX_SYNC_TIMEOUT": 120,
    "MAX_ASYNC_TIMEOUT": 3600,
    "MAX_IDLE_TIMEOUT": 3600,
    "ROUTE_MAX_MEMORY": 8192,
}

# ErrX on the page is class XError here.
ERRORS = """
    ErrInvalidJSON ErrCallTimeout ErrCallTimeoutServerBusy ErrAppsMissingName ErrAppsTooLongName ErrAppsInvalidName
    ErrAppsAlreadyExists ErrAppsMissingNew ErrAppsNameImmutable ErrAppsNotFound ErrDeleteAppsWithRoutes
    ErrDatastoreEmptyAppName ErrDatastoreEmptyRoutePath ErrDatastoreEmptyApp ErrDatastoreEmptyRoute
    ErrDatastoreEmptyKey ErrDatastoreEmptyCallID ErrDatastoreCannotUpdateCall ErrInvalidPayload
    ErrRoutesAlreadyExists ErrRoutesMissingNew ErrRoutesNotFound ErrRoutesPathImmutable ErrFoundDynamicURL
    ErrRoutesInvalidPath ErrRoutesInvalidType ErrRoutesInvalidFormat ErrRoutesMissingAppName ErrRoutesMissingImage
    ErrRoutesMissingName ErrRoutesMissingPath ErrRoutesMissingType ErrPathMalformed ErrInvalidToTime
    ErrInvalidFromTime ErrRoutesInvalidTimeout ErrRoutesInvalidIdleTimeout ErrRoutesInvalidMemory ErrCallNotFound
    ErrCallLogNotFound ErrInvokeNotSupported ErrAPINotSupported ErrPathNotFound
""".split()

STRUCTS: dict[type[msgspec.Struct], set[str]] = {
    App: {"name", "config", "created_at", "updated_at"},
    AppFilter: {"name", "name_in", "per_page", "cursor"},
    AppWrapper: {"app"},
    Call: set(
        "id status app_name path image delay type format payload url method priority timeout idle_timeout memory "
        "base_env env_vars completed_at created_at started_at stats error".split()
    ),
    CallFilter: {"app_name", "path", "from_time", "to_time", "cursor", "per_page"},
    Error: {"error"},
    ErrorBody: {"message", "fields"},
    Route: set(
        "app_name path image memory headers type format timeout idle_timeout config created_at updated_at".split()
    ),
    RouteFilter: {"app_name", "image", "per_page", "cursor"},
    RouteWrapper: {"route"},
}

METHODS: dict[type, tuple[type | None, list[str]]] = {
    Datastore: (
        PostgresStore,
        "get_app get_apps insert_app update_app remove_app get_route get_routes_by_app insert_route update_route "
        "remove_route insert_call update_call get_call get_calls get_database insert_log get_log".split(),
    ),
    LogStore: (PostgresStore, ["insert_log", "get_log"]),
    MessageQueue: (RedisQueue, ["push", "reserve", "delete"]),
    App: (None, ["set_defaults", "validate"]),
    AppWrapper: (None, ["validate"]),
    Route: (None, ["set_defaults", "validate"]),
    RouteWrapper: (None, ["validate"]),
}


@pytest.mark.parametrize(("name", "value"), CONSTANTS.items())
def test_constants(name: str, value: object) -> None:
    assert getattr(models, name) == value


@pytest.mark.parametrize("go_name", ERRORS)
def test_errors_have_a_slug_and_a_message(go_name: str) -> None:
    error = getattr(errors, go_name.removeprefix("Err") + "Error")
    assert issubclass(error, errors.MillraceError)
    assert error.slug != errors.MillraceError.slug
    assert error().message == error.default_message != errors.MillraceError.default_message


def test_slugs_are_unique() -> None:
    slugs = [
        error.slug
        for error in vars(errors).values()
        if inspect.isclass(error) and issubclass(error, errors.MillraceError) and "slug" in vars(error)
    ]
    assert len(slugs) == len(set(slugs))


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_structs_have_the_fields_with_their_json_names(struct: type[msgspec.Struct]) -> None:
    assert STRUCTS[struct] <= set(struct.__struct_encode_fields__)


@pytest.mark.parametrize("contract", METHODS, ids=lambda contract: contract.__name__)
def test_interfaces_have_the_methods(contract: type) -> None:
    implementation, names = METHODS[contract]
    for name in names:
        assert callable(getattr(contract, name))
        if implementation is not None:
            assert callable(getattr(implementation, name))


def test_reasons_hold_the_values_of_the_page() -> None:
    assert {reason.value for reason in Reason} == {"timeout", "killed", "bad_exit", "client_request"}


def test_api_error_carries_a_status_and_a_message() -> None:
    error = new_api_error(418, Exception("short and stout"))
    assert isinstance(error, APIError)
    assert (error.status, error.message) == (418, "short and stout")
