"""The descriptions of /v1/dead."""

from uuid import UUID

from msgspec.structs import replace

from api.answers import CallList, Purged, Requeued, RequeuedCall
from api.descriptions.examples import CALL, CALL_ID, NEW_CALL_ID
from api.descriptions.parts import JSON_ERRORS, PER_PAGE, Description, Descriptions, Parameter, json
from api.descriptions.path import PATH
from api.handlers import dead
from common.errors import (
    AppsNotFoundError,
    InvalidCursorError,
    InvalidSelectionError,
    QueueFullError,
    StoreUnavailableError,
    UnknownFieldError,
)
from common.models import CallStatus, Detail, Reason

DEAD = replace(
    CALL,
    status=CallStatus.ERROR,
    reason=Reason.KILLED,
    detail=Detail.TOO_MANY_ATTEMPTS,
    attempt=5,
)
SELECTION = json(dead.SelectionFields(app="mine"))
ERRORS = (*JSON_ERRORS, UnknownFieldError, InvalidSelectionError, AppsNotFoundError, StoreUnavailableError)

DESCRIPTIONS: Descriptions = {
    dead.list_dead: Description(
        text="Calls that were given up after too many attempts.",
        query=(
            Parameter("app", PATH["app"].type, "Only calls of this app.", "mine"),
            PER_PAGE,
            Parameter("cursor", UUID, "`next_cursor` of the page before: only calls older than this one."),
        ),
        answers={
            "200": json(CallList(message="Successfully listed dead calls", next_cursor="", calls=[DEAD]))
        },
        errors=(InvalidCursorError, AppsNotFoundError, StoreUnavailableError),
    ),
    dead.requeue: Description(
        text="The oldest first, at most 1000 at a time. Who asks twice gets one new call of each.",
        body=SELECTION,
        answers={
            "200": json(
                Requeued(requeued=1, calls=[RequeuedCall(id=CALL_ID, call_id=NEW_CALL_ID)], has_more=False)
            )
        },
        errors=(*ERRORS, QueueFullError),
    ),
    dead.purge: Description(
        text="With inputs, results and logs; the oldest first, at most 1000 at a time.",
        body=SELECTION,
        answers={"200": json(Purged(purged=1, has_more=False))},
        errors=ERRORS,
    ),
}
