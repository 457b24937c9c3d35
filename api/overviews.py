"""What the api answers about itself and to who runs it. As those of answers.py, these are only shapes."""

from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from api.answers import Timestamp
from common.models import Scope

Count = Annotated[int, Meta(ge=0)]


class Greeting(Struct, frozen=True, kw_only=True):
    """Says hello."""

    goto: str
    hello: str


class Version(Struct, frozen=True, kw_only=True):
    """The version of the api."""

    version: str


class Health(Struct, frozen=True, kw_only=True):
    """How the process does."""

    status: str


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether calls are accepted, and what each server's state is: `ok`, or what is wrong."""

    status: Annotated[str, Meta(description="`degraded`: calls are accepted, though a server is away.")]
    servers: dict[str, str]


class QueueDepth(Struct, frozen=True, kw_only=True):
    """Counts at one instant. `due` is part of `delayed`, `expired` of `leased`; `conserved`: they add up."""

    name: str
    ready: Annotated[dict[str, Count], Meta(description="By priority, 0 to 2.")]
    ready_sync: Count
    delayed: Count
    due: Count
    leased: Count
    expired: Count
    given_up: Annotated[Count, Meta(description="Given up just now, and not yet recorded as ended.")]
    dead: Annotated[
        Count | None,
        Meta(
            description="Records of calls that were given up, as `/v1/dead` lists them; null if not known now."
        ),
    ]
    calls: Count
    oldest_ready_ms: int | None
    is_paused: bool
    conserved: bool


class Rebuilt(Struct, frozen=True, kw_only=True):
    """How far a rebuild of the queue is: a line a second, the last one with `is_done`."""

    looked: Annotated[Count, Meta(description="Unfinished calls that were looked at.")]
    restored: Annotated[
        Count, Meta(description="Those of them that were missing in the queue, and are back.")
    ]
    took_s: float
    is_done: bool


class QueuedCall(Struct, frozen=True, kw_only=True):
    """A call that waits for a worker: a sync one, or an async one with its priority."""

    id: UUID
    sync: bool | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    ready_s: Annotated[float, Meta(description="How long it has been ready.")]
    memory_mb: int
    deliveries: Annotated[int, Meta(description="How often it was handed to a worker.")]


class QueueHead(Struct, frozen=True, kw_only=True):
    """The calls that come next, in order."""

    calls: list[QueuedCall]


class RunningCall(Struct, frozen=True, kw_only=True):
    """An async call that a worker has."""

    id: UUID
    app_name: str
    path: str
    attempt: int
    claimed_at: Timestamp | UnsetType = UNSET
    started_at: Timestamp | UnsetType = UNSET


class Worker(Struct, frozen=True, kw_only=True):
    """One life of a worker process."""

    incarnation: UUID
    host: str
    slots: int
    memory_mb: Annotated[
        int, Meta(description="What its calls may use: its part, where a machine has several.")
    ]
    memory_problem: Annotated[
        str | UnsetType, Meta(description="That the workers of its machine may use more than that has.")
    ] = UNSET
    network: Annotated[
        str,
        Meta(
            description="`none`: its functions have none. `guarded`: they can't reach the machine and its neighbours. "
            "`open`: no firewall rules keep them from it. Empty if a worker of an earlier version does not say."
        ),
    ]
    network_problem: Annotated[str | UnsetType, Meta(description="Why it is `open`.")] = UNSET
    started_at: Timestamp
    heartbeat_at: Timestamp
    is_live: Annotated[bool, Meta(description="Whether its `state` is `live`.")]
    state: Annotated[
        str,
        Meta(
            description="`draining`: it takes no more calls. `late`: heartbeats are missing. `lost`: its heartbeat is"
            " stale, so its calls run elsewhere.",
            extra_json_schema={"enum": ["live", "draining", "late", "lost"]},
        ),
    ]
    running: Annotated[list[RunningCall], Meta(description="100 at most.")]


class WorkerList(Struct, frozen=True, kw_only=True):
    """Workers, live ones first."""

    workers: list[Worker]


class CallCounts(Struct, frozen=True, kw_only=True, rename="pascal"):
    """How many calls there are, by what became of them."""

    queue: Annotated[Count, Meta(description="Delayed or queued.")]
    running: Count
    complete: Count
    failed: Count
    cancelled: Count


class Stats(CallCounts, frozen=True, kw_only=True, rename="pascal"):
    """How many calls there are in all, and of each path."""

    function_stats_map: Annotated[dict[str, CallCounts], Meta(description="By app and path: `app/path`.")]


class Token(Struct, frozen=True, kw_only=True):
    """Who may ask, and how much. The secret itself is in the answer to its creation, and nowhere else."""

    token: Annotated[str | UnsetType, Meta(description="The secret, shown once.")] = UNSET
    id: UUID
    name: str
    scope: Scope
    app: Annotated[str | UnsetType, Meta(description="The only app that it is good for.")] = UNSET
    created_at: Timestamp | UnsetType = UNSET


class TokenList(Struct, frozen=True, kw_only=True):
    """Tokens, without their secrets."""

    message: str
    tokens: list[Token]
