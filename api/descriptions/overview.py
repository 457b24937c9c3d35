"""The descriptions of /v1/workers and /stats."""

from uuid import UUID

from api.descriptions.examples import CALL_ID, MORNING
from api.descriptions.parts import Description, Descriptions, json
from api.handlers import overview
from api.overviews import CallCounts, RunningCall, Stats, Worker, WorkerList
from common.errors import StoreUnavailableError

WORKER = Worker(
    incarnation=UUID("0193c0de-5eed-7000-8000-000000000003"),
    host="one",
    slots=4,
    memory_mb=7680,
    network="guarded",
    started_at=MORNING,
    heartbeat_at=MORNING,
    is_live=True,
    state="live",
    running=[RunningCall(id=CALL_ID, app_name="mine", path="/upper", attempt=1, claimed_at=MORNING)],
)
STATS = Stats(
    queue=3,
    running=1,
    complete=17,
    failed=2,
    cancelled=0,
    function_stats_map={"mine/upper": CallCounts(queue=3, running=1, complete=17, failed=2, cancelled=0)},
)

DESCRIPTIONS: Descriptions = {
    overview.list_workers: Description(
        answers={"200": json(WorkerList(workers=[WORKER]))}, errors=(StoreUnavailableError,)
    ),
    overview.get_stats: Description(
        text="A few seconds old where there are many.",
        answers={"200": json(STATS)},
        errors=(StoreUnavailableError,),
    ),
}
