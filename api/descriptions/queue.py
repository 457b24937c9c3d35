"""The descriptions of /v1/queue."""

from typing import Annotated

from msgspec import Meta

from api.descriptions.examples import CALL_ID
from api.descriptions.parts import Content, Description, Descriptions, Parameter, json
from api.handlers import queue
from api.overviews import QueuedCall, QueueDepth, QueueHead, Rebuilt
from common.errors import (
    InvalidLimitError,
    QueueFullError,
    QueueLostError,
    QueueUnavailableError,
    RebuildUnderWayError,
    StoreUnavailableError,
)

LIMIT = Parameter(
    "limit",
    Annotated[int, Meta(ge=1, le=500, extra_json_schema={"default": 20})],
    "How many to show.",
    20,
)


def _depth(*, is_paused: bool = False) -> QueueDepth:
    return QueueDepth(
        name="default",
        ready={"0": 12, "1": 0, "2": 1},
        ready_sync=0,
        delayed=3,
        due=0,
        leased=4,
        expired=0,
        given_up=0,
        dead=0,
        calls=20,
        oldest_ready_ms=830,
        is_paused=is_paused,
        conserved=True,
    )


DESCRIPTIONS: Descriptions = {
    queue.get_depth: Description(answers={"200": json(_depth())}, errors=(QueueUnavailableError,)),
    queue.get_head: Description(
        query=(LIMIT,),
        answers={
            "200": json(
                QueueHead(
                    calls=[QueuedCall(id=CALL_ID, priority=2, ready_s=0.83, memory_mb=256, deliveries=0)]
                )
            )
        },
        errors=(InvalidLimitError, QueueUnavailableError),
    ),
    queue.pause: Description(
        text=(
            "What runs goes on, and async calls are still accepted; sync ones are refused, also those that already wait"
            ". The pause is kept until it is lifted."
        ),
        answers={"200": json(_depth(is_paused=True))},
        errors=(StoreUnavailableError, QueueUnavailableError),
    ),
    queue.resume: Description(
        answers={"200": json(_depth())}, errors=(StoreUnavailableError, QueueUnavailableError)
    ),
    queue.rebuild: Description(
        text="Looks at every unfinished call, and puts back those that the queue does not have, in their places, and"
        " the pause. What the queue has stays as it is, so it is safe beside live workers, and to repeat. It goes on"
        " when the client goes away. An error after the first second is the last line.",
        answers={
            "200": Content(
                text="Lines of JSON.",
                examples={
                    queue.JSON_LINES: Rebuilt(looked=20_000, restored=20_000, took_s=0.9, is_done=True)
                },
            )
        },
        errors=(
            RebuildUnderWayError,
            QueueFullError,
            QueueLostError,
            StoreUnavailableError,
            QueueUnavailableError,
        ),
    ),
}
