"""Hot calls on a whole worker: what they promise of memory, and what they leave behind in the pool."""

from typing import Any

import pytest

from common.models import CallStatus
from tests.integration.worker.bench import Bench
from worker.containers.docker import DockerDriver
from worker.containers.driver import ContainerSpec

pytestmark = pytest.mark.timeout(90)

ANSWERS = """while read -r line; do echo '{"body":"ok"}'; done"""
MEMORY_MB = 128


@pytest.mark.parametrize(
    ("script", "timeout_s", "status"),
    [(ANSWERS, 30, CallStatus.SUCCESS), ("sleep 60", 1, CallStatus.ERROR)],
    ids=["held back for its log", "in doubt"],
)
async def test_memory_is_promised_to_one_container_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str, timeout_s: int, status: CallStatus
) -> None:
    create, others = DockerDriver.create, []

    async def look_and_create(driver: DockerDriver, spec: ContainerSpec) -> None:
        others.append(len(await bench.containers()))
        await create(driver, spec)

    monkeypatch.setattr(DockerDriver, "create", look_and_create)
    route: dict[str, Any] = {"format": "json", "json_framing": "line", "memory": MEMORY_MB}
    call_ids = [await bench.submit(f"{script} # {n}", timeout=timeout_s, **route) for n in range(3)]
    async with bench.worker(worker_memory_mb=MEMORY_MB):
        assert [(await bench.finished(call_id)).status for call_id in call_ids] == [status] * 3
    assert others == [0] * 3
