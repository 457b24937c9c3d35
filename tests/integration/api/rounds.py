"""Rounds of the reconciler, one by one, as a test wants them; calls that were stored and, for whatever reason, never
pushed.
"""

from datetime import UTC, datetime

from msgspec.structs import replace

from api.keys import METRICS
from api.queue_life import QueueLife
from api.reconciler import Reconciler
from common.models import Call, QueueEntry, new_id
from tests.integration.api.served import ServedApi

RECONCILED = "millrace_calls_reconciled_total"


def rounds_of(api: ServedApi) -> Reconciler:
    """A reconciler whose turns are due at once."""
    settings = replace(api.settings, reconcile_interval_s=1e-6)
    return Reconciler(api.store, api.queue, api.app[METRICS], settings, QueueLife())


def restored(api: ServedApi, cause: str) -> float:
    """How many calls came back, by how that was noticed."""
    value: float = api.app[METRICS].reconciled.labels(cause)._value.get()
    return value


def sweeps(api: ServedApi) -> dict[str, float]:
    """How often everything was looked at, by cause."""
    return {
        sample.labels["cause"]: sample.value
        for metric in api.app[METRICS].sweeps.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


async def stored(api: ServedApi, count: int, *, priority: int = 0, delay_s: int = 0) -> list[QueueEntry]:
    if (await api.get("/v1/apps/app")).status == 404:
        await api.create_route()
    return await api.store.insert_calls(
        [
            Call(
                id=new_id(),
                app_name="app",
                path="/p",
                type="async",
                memory=1,
                priority=priority,
                delay=delay_s,
                created_at=datetime.now(UTC),
            )
            for _ in range(count)
        ]
    )
