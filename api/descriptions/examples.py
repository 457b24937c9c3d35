"""One app, one route, one call: the examples that the descriptions share, and what can be asked of each."""

from uuid import UUID

from api import answers
from api.descriptions.parts import Link
from common.models import CallStatus

MORNING = "2018-01-10T09:30:00.000Z"
CALL_ID = UUID("0193c0de-5eed-7000-8000-000000000001")
NEW_CALL_ID = UUID("0193c0de-5eed-7000-8000-000000000002")
CURSOR = "bWluZQ"

LINKS_OF_APP = tuple(
    Link(operation, {"app": "$response.body#/app/name"})
    for operation in ("get_app", "update_app", "list_routes", "create_route", "delete_app")
)
LINKS_OF_ROUTE = tuple(
    Link(operation, {"app": "$request.path.app", "route": "$response.body#/route/path"})
    for operation in ("get_route", "update_route", "invoke_post", "delete_route")
)

APP = answers.App(name="mine", config={"LANG": "C.UTF-8"}, created_at=MORNING, updated_at=MORNING)
ROUTE = answers.Route(
    app_name="mine",
    path="/upper",
    image="me/upper:1",
    memory=256,
    type="async",
    format="default",
    timeout=60,
    idle_timeout=30,
    created_at=MORNING,
    updated_at=MORNING,
)
CALL = answers.Call(
    id=CALL_ID,
    status=CallStatus.SUCCESS,
    exit_code=0,
    app_name="mine",
    path="/upper",
    type="async",
    priority=2,
    attempt=1,
    cold=True,
    created_at=MORNING,
    claimed_at="2018-01-10T09:30:00.104Z",
    started_at="2018-01-10T09:30:00.310Z",
    completed_at="2018-01-10T09:30:00.562Z",
    stats=[answers.Stat(timestamp="2018-01-10T09:30:00.500Z", metrics={"mem_usage": 4096, "cpu_total": 12})],
)


def links_of_call(where: str) -> tuple[Link, ...]:
    """What can be asked of a call whose id stands *where*."""
    return tuple(
        Link(operation, {"app": "$request.path.app", "call": where})
        for operation in ("get_call", "get_events", "get_log", "get_result")
    )
