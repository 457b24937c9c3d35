"""The description of a call's events."""

import msgspec

from api.answers import Event
from api.descriptions.examples import CALL
from api.descriptions.parts import Content, Description, Descriptions, Parameter
from api.handlers import follow
from common.errors import (
    AppsMissingNameError,
    CallNotFoundError,
    RecordPendingError,
    StoreUnavailableError,
    TooManyFollowersError,
)

LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    str,
    "What a browser says when it asks again: the id of the event that came last, as `1-running`.",
)
EVENT = Event(event="status", id="1-success", data=msgspec.json.encode(CALL).decode())

DESCRIPTIONS: Descriptions = {
    follow.get_events: Description(
        text="The state now, then each transition. Transitions that come at once may be one event. Ends with the call.",
        headers=(LAST_EVENT_ID,),
        answers={
            "200": Content(text="Server-sent events.", examples={"text/event-stream": EVENT}),
            "204": Content(text="The call is final, and that was known already: ask no more."),
        },
        errors=(
            AppsMissingNameError,
            CallNotFoundError,
            RecordPendingError,
            TooManyFollowersError,
            StoreUnavailableError,
        ),
    ),
}
