"""Retries that a route asks for: when, how often, and what is seen meanwhile."""

from datetime import UTC, datetime

from common.models import Call, CallStatus, Detail, Reason, RetryPolicy
from tests.integration.worker.bench import Bench
from tests.polling import eventually

FAILS_TWICE = 'echo try $FN_ATTEMPT >&2; [ "$FN_ATTEMPT" -gt 2 ]'


async def test_a_failed_call_is_tried_again_until_it_succeeds(bench: Bench) -> None:
    call_id = await bench.submit(FAILS_TWICE, retry=RetryPolicy(max_attempts=3))
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 3)
    assert await bench.log(call_id) == "try 3\n"
    assert (await bench.queue.depth()).calls == 0


async def test_between_two_attempts_it_is_delayed(bench: Bench) -> None:
    call_id = await bench.submit("echo no >&2; exit 3", retry=RetryPolicy(max_attempts=2, backoff=60))
    async with bench.worker():

        async def delayed() -> Call | None:
            call = await bench.call(call_id)
            return call if call.status is CallStatus.DELAYED else None

        call = await eventually(delayed)
        assert call is not None
        assert call.due_at is not None
        assert await bench.log(call_id) == "no\n"
        assert 20 < (call.due_at - datetime.now(UTC)).total_seconds() <= 60

        async def waits() -> bool:
            return (await bench.queue.depth()).delayed == 1

        await eventually(waits)  # the store is told first


async def test_the_last_failure_is_the_calls_end(bench: Bench) -> None:
    call_id = await bench.submit("exit 3", retry=RetryPolicy(max_attempts=2))
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail) == (CallStatus.ERROR, Reason.BAD_EXIT, Detail.EXIT_CODE)
    assert (call.attempt, call.exit_code) == (2, 3)


async def test_what_the_policy_does_not_name_is_not_retried(bench: Bench) -> None:
    call_id = await bench.submit("exit 3", retry=RetryPolicy(max_attempts=5, on=("timeout",)))
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.ERROR, 1)


async def test_a_policy_may_allow_more_attempts_than_the_worker_would(bench: Bench) -> None:
    call_id = await bench.submit(FAILS_TWICE, retry=RetryPolicy(max_attempts=3))
    async with bench.worker(max_attempts=1):
        call = await bench.finished(call_id)
    assert (call.status, call.attempt) == (CallStatus.SUCCESS, 3)


async def test_a_call_past_its_age_is_not_started(bench: Bench) -> None:
    late = await bench.submit("echo late", max_age=1)
    soon = await bench.submit("echo soon", max_age=3600)
    created = (await bench.call(late)).created_at
    assert created is not None
    await eventually(lambda: (datetime.now(UTC) - created).total_seconds() > 1)
    async with bench.worker():
        expired, ran = await bench.finished(late), await bench.finished(soon)
    assert (expired.status, expired.reason, expired.detail) == (
        CallStatus.ERROR,
        Reason.KILLED,
        Detail.EXPIRED,
    )
    assert (expired.attempt, expired.started_at) == (0, None)
    assert expired.error == "Not started within 1 s"
    assert ran.status is CallStatus.SUCCESS
