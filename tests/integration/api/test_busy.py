"""Many calls that come and end while the reconciler looks: it must find nothing missing, and nothing runs twice."""

import asyncio

from msgspec.structs import replace

from common.settings import Settings
from tests.integration.api.rounds import RECONCILED
from tests.integration.api.served import ServedApi
from tests.polling import eventually

LASTS_S = 2.0
BATCH = 40


async def test_without_faults_nothing_is_repaired(settings: Settings) -> None:
    async with ServedApi(replace(settings, reconcile_interval_s=0.05)) as api:
        path = (await api.create_route()).removeprefix("/r/app")
        batch = {"calls": [{"path": path, "payload": "x"}] * BATCH}
        ends_at_s = asyncio.get_running_loop().time() + LASTS_S
        accepted = 0

        async def submit() -> None:
            nonlocal accepted
            while asyncio.get_running_loop().time() < ends_at_s:
                answer = await api.post("/v1/apps/app/calls", batch)
                accepted += sum(result["status"] == 202 for result in answer.json["results"])

        async def run() -> None:
            while asyncio.get_running_loop().time() < ends_at_s or (await api.queue.depth()).calls:
                await api.run_all()

        async def all_have_ended() -> bool:
            await api.run_all()  # the last calls may be pushed after their answer
            ended = await api.store.get_database().fetchval(
                "SELECT count(*) FROM calls WHERE status = 'success'"
            )
            return bool(ended == accepted)

        async with asyncio.TaskGroup() as group:
            for work in (submit, submit, run, run):
                group.create_task(work())
        await eventually(all_have_ended)
        metrics = (await api.get("/metrics")).body.decode()
        assert [line for line in metrics.splitlines() if line.startswith(RECONCILED)] == []
        ended = await api.store.get_database().fetchval(
            "SELECT count(*) FROM calls WHERE status = 'success' AND attempt = 1"
        )
        assert ended == accepted > 10 * BATCH
