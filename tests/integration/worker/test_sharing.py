"""Workers of one machine share its memory: together they never have more than it has."""

import time

import pytest

from tests.integration.worker.bench import Bench
from tests.polling import eventually
from worker import resources
from worker.resources import usable_memory_mb


async def parts(bench: Bench) -> list[int]:
    return sorted(worker.memory_mb for worker in await bench.store.get_workers(9, 0))


async def test_a_second_worker_has_half_and_calls_that_run_keep_theirs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_mb = usable_memory_mb()
    # One reading for all: what else runs on this machine takes and frees memory meanwhile.
    monkeypatch.setattr(resources, "usable_memory_mb", lambda: found_mb)
    usual = {"worker_memory_mb": 0, "heartbeat_s": 0.1}
    async with bench.worker(**usual):
        (all_mb,) = await parts(bench)
        assert all_mb == found_mb  # alone it has what the machine has
        most = all_mb * 2 // 3
        call_id = await bench.submit("sleep 4", memory=most)
        await bench.running(call_id)
        async with bench.worker(**usual):
            until = time.monotonic() + 1
            while time.monotonic() < until:
                assert sum(await parts(bench)) <= all_mb
            await eventually(lambda: are(bench, [all_mb - most, most]))
            await bench.finished(call_id)
            await eventually(lambda: are(bench, [all_mb // 2] * 2))
        await eventually(lambda: are(bench, [all_mb]))


async def test_parts_of_a_fixed_size_that_exceed_the_machine_are_told(bench: Bench) -> None:
    too_much = usable_memory_mb() * 2
    async with bench.worker(worker_memory_mb=too_much):
        (worker,) = await bench.store.get_workers(9, 0)
        assert worker.memory_mb == too_much
        assert f"may use {too_much} MB" in worker.memory_problem


async def are(bench: Bench, expected_mb: list[int]) -> bool:
    """Whether these are the parts, but for rounding."""
    return await parts(bench) == [pytest.approx(expected, abs=2) for expected in expected_mb]
