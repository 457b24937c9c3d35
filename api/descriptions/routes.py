"""The descriptions of /v1/apps/{app}/routes."""

from api.answers import Done, RouteAnswer, RouteList
from api.descriptions.apps import KEY_CURSOR
from api.descriptions.examples import LINKS_OF_ROUTE, ROUTE
from api.descriptions.parts import JSON_ERRORS, PER_PAGE, Description, Descriptions, Parameter, json
from api.fields import NewRoute, NewRouteBody, RouteBody, RouteFields
from api.handlers import routes
from common.errors import (
    AppsInvalidNameError,
    AppsMissingNameError,
    AppsNotFoundError,
    AppsTooLongNameError,
    FoundDynamicURLError,
    InvalidConfigError,
    InvalidHeadersError,
    PathMalformedError,
    RoutesAlreadyExistsError,
    RoutesImageNotAllowedError,
    RoutesInvalidBodyEncodingError,
    RoutesInvalidFormatError,
    RoutesInvalidIdleTimeoutError,
    RoutesInvalidImageError,
    RoutesInvalidJSONFramingError,
    RoutesInvalidMaxAgeError,
    RoutesInvalidMemoryError,
    RoutesInvalidNetworkError,
    RoutesInvalidPathError,
    RoutesInvalidRetryError,
    RoutesInvalidTimeoutError,
    RoutesInvalidTypeError,
    RoutesMissingImageError,
    RoutesMissingNewError,
    RoutesMissingPathError,
    RoutesNotFoundError,
    RoutesPathImmutableError,
    RoutesWritableRootNotAllowedError,
    StoreUnavailableError,
    TooManyAppsError,
    TooManyRoutesError,
    UnknownFieldError,
)

FIELD_ERRORS = (
    RoutesMissingImageError,
    RoutesInvalidImageError,
    RoutesImageNotAllowedError,
    RoutesWritableRootNotAllowedError,
    RoutesInvalidTypeError,
    RoutesInvalidFormatError,
    RoutesInvalidTimeoutError,
    RoutesInvalidIdleTimeoutError,
    RoutesInvalidMemoryError,
    RoutesInvalidNetworkError,
    InvalidHeadersError,
    InvalidConfigError,
    RoutesInvalidJSONFramingError,
    RoutesInvalidBodyEncodingError,
    RoutesInvalidRetryError,
    RoutesInvalidMaxAgeError,
    UnknownFieldError,
)
PATH_ERRORS = (PathMalformedError, FoundDynamicURLError, RoutesInvalidPathError)
APP_ERRORS = (AppsMissingNameError, AppsTooLongNameError, AppsInvalidNameError)

CREATED = json(RouteAnswer(message="Route successfully created", route=ROUTE), links=LINKS_OF_ROUTE)
UPDATED = json(RouteAnswer(message="Route successfully updated", route=ROUTE))

DESCRIPTIONS: Descriptions = {
    routes.list_routes: Description(
        query=(
            Parameter("image", str, "Only routes of exactly this image.", "me/upper:1"),
            PER_PAGE,
            KEY_CURSOR,
        ),
        answers={
            "200": json(RouteList(message="Successfully listed routes", next_cursor="", routes=[ROUTE]))
        },
        errors=(AppsMissingNameError, AppsNotFoundError, StoreUnavailableError),
    ),
    routes.create_route: Description(
        text="An app that does not exist is created with it.",
        body=json(
            NewRouteBody(
                route=NewRoute(path="/upper", image="me/upper:1", memory=256, type="async", timeout=60)
            )
        ),
        answers={"200": CREATED},
        errors=(
            *JSON_ERRORS,
            RoutesMissingNewError,
            RoutesMissingPathError,
            *APP_ERRORS,
            *PATH_ERRORS,
            *FIELD_ERRORS,
            RoutesAlreadyExistsError,
            TooManyRoutesError,
            TooManyAppsError,
            StoreUnavailableError,
        ),
    ),
    routes.get_route: Description(
        answers={"200": json(RouteAnswer(message="Successfully loaded route", route=ROUTE))},
        errors=(AppsMissingNameError, RoutesNotFoundError, StoreUnavailableError),
    ),
    routes.put_route: Description(
        text="A route that is there is changed as by PATCH; an app that does not exist is created with the route.",
        body=json(RouteBody(route=RouteFields(image="me/upper:1", type="async"))),
        answers={"200": UPDATED},
        errors=(
            *JSON_ERRORS,
            RoutesMissingNewError,
            RoutesPathImmutableError,
            *APP_ERRORS,
            *PATH_ERRORS,
            *FIELD_ERRORS,
            TooManyRoutesError,
            TooManyAppsError,
            StoreUnavailableError,
        ),
    ),
    routes.update_route: Description(
        text="What is set replaces what was; config and headers are merged: an empty value removes its key.",
        body=json(RouteBody(route=RouteFields(timeout=120, config={"OLD": ""}))),
        answers={"200": UPDATED},
        errors=(
            *JSON_ERRORS,
            RoutesMissingNewError,
            RoutesPathImmutableError,
            AppsMissingNameError,
            *PATH_ERRORS,
            *FIELD_ERRORS,
            RoutesNotFoundError,
            StoreUnavailableError,
        ),
    ),
    routes.delete_route: Description(
        text="Calls that were accepted still run.",
        answers={"200": json(Done(message="Route deleted"))},
        errors=(AppsMissingNameError, RoutesNotFoundError, StoreUnavailableError),
    ),
}
