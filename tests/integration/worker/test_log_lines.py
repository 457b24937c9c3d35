"""What the worker's log says of a call can be found by the call's id, and by the id of the request that made it."""

import structlog
from structlog.testing import capture_logs

from common.models import CallStatus, RetryPolicy
from tests.integration.worker.bench import Bench


async def test_every_line_about_a_call_has_its_id_and_its_requests(bench: Bench) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with bench.worker():
            headers = {"X-Request-Id": ["r-17"]}
            good = await bench.submit("echo done", headers=headers)
            bad = await bench.submit("exit 3", headers=headers, retry=RetryPolicy(max_attempts=2))
            assert (await bench.finished(good)).status is CallStatus.SUCCESS
            assert (await bench.finished(bad)).status is CallStatus.ERROR
    about = [line for line in logs if "call_id" in line or line["event"].startswith("call ")]
    assert {"call finished", "call failed, to be retried", "call given back"} <= {
        line["event"] for line in about
    }
    assert {line["call_id"] for line in about} == {good, bad}
    assert {line["request_id"] for line in about} == {"r-17"}
