"""The descriptions of /v1/apps."""

from api.answers import AppAnswer, AppList, Done
from api.descriptions.examples import APP, CURSOR, LINKS_OF_APP
from api.descriptions.parts import JSON_ERRORS, PER_PAGE, Description, Descriptions, Parameter, json
from api.fields import AppBody, AppFields, NewApp, NewAppBody
from api.handlers import apps
from common.errors import (
    AppsAlreadyExistsError,
    AppsInvalidNameError,
    AppsMissingNameError,
    AppsMissingNewError,
    AppsNameImmutableError,
    AppsNotFoundError,
    AppsTooLongNameError,
    InvalidConfigError,
    StoreUnavailableError,
    TooManyAppsError,
)

KEY_CURSOR = Parameter(
    "cursor", str, "`next_cursor` of the page before; what can't be decoded is dropped.", CURSOR
)

DESCRIPTIONS: Descriptions = {
    apps.list_apps: Description(
        query=(PER_PAGE, KEY_CURSOR),
        answers={
            "200": json(AppList(message="Successfully listed applications", next_cursor="", apps=[APP]))
        },
        errors=(StoreUnavailableError,),
    ),
    apps.create_app: Description(
        body=json(NewAppBody(app=NewApp(name="mine", config={"LANG": "C.UTF-8"}))),
        answers={"200": json(AppAnswer(message="App successfully created", app=APP), links=LINKS_OF_APP)},
        errors=(
            *JSON_ERRORS,
            AppsMissingNewError,
            AppsMissingNameError,
            AppsTooLongNameError,
            AppsInvalidNameError,
            InvalidConfigError,
            AppsAlreadyExistsError,
            TooManyAppsError,
            StoreUnavailableError,
        ),
    ),
    apps.get_app: Description(
        answers={"200": json(AppAnswer(message="Successfully loaded app", app=APP))},
        errors=(AppsNotFoundError, StoreUnavailableError),
    ),
    apps.update_app: Description(
        text="Config is merged: an empty value removes its key, any other sets it, keys that are not named stay.",
        body=json(AppBody(app=AppFields(config={"LANG": "C.UTF-8", "OLD": ""}))),
        answers={"200": json(AppAnswer(message="App successfully updated", app=APP))},
        errors=(
            *JSON_ERRORS,
            AppsMissingNewError,
            AppsNameImmutableError,
            InvalidConfigError,
            AppsNotFoundError,
            StoreUnavailableError,
        ),
    ),
    apps.delete_app: Description(
        text=(
            "With its routes, calls, results and logs. Calls that wait are cancelled, calls that run are killed. Many"
            " calls take a while; if it breaks off, the app is still there with what is left: ask again."
        ),
        answers={"200": json(Done(message="App deleted"))},
        errors=(AppsNotFoundError, StoreUnavailableError),
    ),
}
