"""The descriptions of ending a call, and of running it again."""

from msgspec.structs import replace

from api.answers import CallAnswer, Retried
from api.descriptions.examples import CALL, CALL_ID, NEW_CALL_ID, links_of_call
from api.descriptions.headers import LOCATION
from api.descriptions.parts import Description, Descriptions, json
from api.handlers import steering
from common.errors import (
    AppCallsFullError,
    AppsBeingRemovedError,
    AppsMissingNameError,
    AppStorageFullError,
    CallIsFinalError,
    CallNotFinalError,
    CallNotFoundError,
    CallNotRetriableError,
    PriorityNotAllowedError,
    QueueFullError,
    StoreUnavailableError,
)
from common.models import CallStatus, Reason

CANCELLED = replace(CALL, status=CallStatus.CANCELLED, reason=Reason.CLIENT_REQUEST)

DESCRIPTIONS: Descriptions = {
    steering.cancel_call: Description(
        text=(
            "A call that waits is cancelled at once; one that runs is killed, and its status says so when it is."
            " Again is as good as once."
        ),
        answers={"200": json(CallAnswer(message="Call cancelled", call=CANCELLED))},
        errors=(AppsMissingNameError, CallNotFoundError, CallIsFinalError, StoreUnavailableError),
    ),
    steering.retry_call: Description(
        text="The new call has the same input, and names the old one as its parent.",
        answers={
            "202": json(
                Retried(call_id=NEW_CALL_ID, parent_id=CALL_ID),
                headers=(LOCATION,),
                links=links_of_call("$response.body#/call_id"),
            )
        },
        errors=(
            AppsMissingNameError,
            CallNotFoundError,
            CallNotFinalError,
            CallNotRetriableError,
            PriorityNotAllowedError,
            AppsBeingRemovedError,
            QueueFullError,
            AppCallsFullError,
            AppStorageFullError,
            StoreUnavailableError,
        ),
    ),
}
