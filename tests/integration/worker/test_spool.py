"""Outcomes that outlive their worker while Postgres is away."""

import os
import signal
from pathlib import Path

import pytest

from common.models import CallStatus
from deploy.local import LocalPostgres
from tests.integration.worker.bench import child_of, is_running, open_bench
from tests.polling import eventually

ONCE = "sleep 3; echo attempt $FN_ATTEMPT; echo noise >&2"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_supervised", [True, False])
async def test_an_outcome_outlives_its_worker(
    own_postgres: LocalPostgres, redis_url: str, shell_image: str, tmp_path: Path, is_supervised: bool
) -> None:
    spool = tmp_path / "spool"
    async with open_bench(own_postgres.url, redis_url, spool) as bench:
        call_id = await bench.submit(ONCE)
        async with bench.process() as worker:
            await bench.running(call_id)
            await own_postgres.stop()
            await eventually(lambda: list(spool.glob("*/*.outcome")), timeout_s=30)
            child = child_of(worker)
            if not is_supervised:
                worker.kill()
            os.kill(child, signal.SIGKILL)
            await eventually(lambda: not is_running(child))
            await own_postgres.start()
            if is_supervised:
                await bench.finished(call_id, timeout_s=60)
        if not is_supervised:
            async with bench.process():
                await bench.finished(call_id, timeout_s=60)
        call = await bench.call(call_id)
        assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)
        assert await bench.result(call_id) == b"attempt 1\n"
        assert await bench.log(call_id) == "noise\n"
        assert list(spool.glob("*/*")) == []
