"""The headers of requests and answers that more than one endpoint knows."""

from typing import Annotated

from msgspec import Meta

from api.descriptions.examples import CALL_ID
from api.descriptions.parts import Header, Parameter

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    Annotated[str, Meta(pattern="^[!-~]{1,255}$")],
    "Async calls only: the same key and the same request within 24 h give the same call; another request is refused.",
    "order-17",
)
TRACEPARENT = Parameter(
    "traceparent",
    str,
    "W3C trace context; the function gets it.",
)
REPLAYED = Header("Idempotency-Replayed", "That the call is an earlier request's of the same key.", "true")
LOCATION = Header("Location", "Where the call can be followed.", f"/v1/apps/mine/calls/{CALL_ID}")
FN_CALL_ID = Header("Fn_call_id", "The id of the call.", str(CALL_ID))
