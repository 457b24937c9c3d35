"""The descriptions of /v1/apps/{app}/calls."""

from typing import Annotated

from msgspec import Meta

from api.answers import CallAnswer, CallList, Log, LogAnswer
from api.descriptions.examples import CALL, CALL_ID
from api.descriptions.parts import (
    ANY,
    JSON,
    PER_PAGE,
    TEXT,
    Content,
    Description,
    Descriptions,
    Header,
    Parameter,
    Seconds,
    json,
)
from api.handlers import calls
from common.errors import (
    AppsMissingNameError,
    AppsNotFoundError,
    CallLogNotFoundError,
    CallNotFoundError,
    CallResultNotFoundError,
    CallResultNotYetError,
    InvalidFollowError,
    InvalidFromTimeError,
    InvalidStatusError,
    InvalidToTimeError,
    InvalidWaitError,
    NotAcceptableError,
    RecordPendingError,
    StoreUnavailableError,
    TooManyFollowersError,
)
from common.models import CallStatus

_STATUS = "|".join(CallStatus)

STATUS = Parameter(
    "status",
    Annotated[str, Meta(pattern=f"^(({_STATUS})(,({_STATUS}))*)?$")],
    f"Only calls with one of these statuses, separated by commas: {', '.join(f'`{one}`' for one in CallStatus)}.",
    "queued,running",
)
WAIT = Parameter(
    "wait",
    Annotated[float, Meta(ge=0, le=60)],
    "Answer when the call is final, or as it is after so many seconds.",
    30,
)
FOLLOW = Parameter(
    "follow",
    str,
    "`1` or `true`: the log of any call as bytes, as it grows, until the call is final. Not with `timestamps`.",
    "1",
)
TIMESTAMPS = Parameter(
    "timestamps", str, "`1` or `true`: each line begins with the instant at which it came.", "1"
)
LOG = LogAnswer(
    message="Successfully loaded log", log=Log(call_id=CALL_ID, log="read 9 bytes\n", app_name="mine")
)

DESCRIPTIONS: Descriptions = {
    calls.list_calls: Description(
        query=(
            Parameter("path", str, "Only calls of the route with this path.", "/upper"),
            Parameter("from_time", Seconds, "Only calls created after this second.", 1515576600),
            Parameter("to_time", Seconds, "Only calls created before this second.", 1515580200),
            STATUS,
            PER_PAGE,
            Parameter(
                "cursor",
                str,
                "`next_cursor` of the page before: only calls older than this one.",
                str(CALL_ID),
            ),
        ),
        answers={"200": json(CallList(message="Successfully listed calls", next_cursor="", calls=[CALL]))},
        errors=(
            AppsMissingNameError,
            InvalidFromTimeError,
            InvalidToTimeError,
            InvalidStatusError,
            AppsNotFoundError,
            StoreUnavailableError,
        ),
    ),
    calls.get_call: Description(
        text=(
            "Known from the moment in which the call is accepted, of a sync call from its answer. One that still runs,"
            " because its api ended, is 503 `record_pending`."
        ),
        query=(WAIT,),
        answers={"200": json(CallAnswer(message="Successfully loaded call", call=CALL))},
        errors=(
            AppsMissingNameError,
            CallNotFoundError,
            RecordPendingError,
            InvalidWaitError,
            TooManyFollowersError,
            StoreUnavailableError,
        ),
    ),
    calls.find_call: Description(
        text="For who has only its id; `app_name` says whose it is. A token of one app finds the calls of that app.",
        answers={"200": json(CallAnswer(message="Successfully loaded call", call=CALL))},
        errors=(CallNotFoundError, RecordPendingError, StoreUnavailableError),
    ),
    calls.get_log: Description(
        text=(
            "There is none before the call is final, but by `follow`. `Accept: text/plain` asks for its bytes, else it"
            " comes in JSON."
        ),
        query=(TIMESTAMPS, FOLLOW),
        answers={"200": Content(text="The log.", examples={JSON: LOG, TEXT: "read 9 bytes\n"})},
        errors=(
            AppsMissingNameError,
            CallLogNotFoundError,
            RecordPendingError,
            NotAcceptableError,
            InvalidFollowError,
            TooManyFollowersError,
            StoreUnavailableError,
        ),
    ),
    calls.get_result: Description(
        text="Byte for byte, with the headers of the function; kept as long as the call is.",
        answers={
            "200": Content(
                text="What the function answered, of the type that it said.",
                examples={ANY: b"SOME TEXT"},
                headers=(Header("Millrace-Status", "The status that the function answered with.", "200"),),
            )
        },
        errors=(
            AppsMissingNameError,
            CallNotFoundError,
            RecordPendingError,
            CallResultNotYetError,
            CallResultNotFoundError,
            StoreUnavailableError,
        ),
    ),
}
