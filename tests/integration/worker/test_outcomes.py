"""Every way in which a call can end, on a real engine."""

import asyncio
from asyncio.subprocess import DEVNULL
from datetime import timedelta

import pytest

from common.models import Call, CallStatus, Reason
from tests.integration.worker.bench import APP, Bench
from tests.polling import eventually
from tests.shell_image import derived_image
from worker.containers.docker import DockerDriver
from worker.containers.hostconfig import NETWORK_NAME

FAST = "/bin/true"


async def test_success_keeps_result_and_log(bench: Bench) -> None:
    call_id = await bench.submit("echo noise >&2; cat", b"hello")
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail, call.error) == (CallStatus.SUCCESS, None, "", "")
    assert (call.attempt, call.exit_code) == (1, 0)
    assert await bench.result(call_id) == b"hello"
    assert await bench.log(call_id) == "noise\n"
    ((first, at_ms),) = await bench.store.get_log_marks(APP, call_id)
    assert first == 0
    assert call.started_at is not None
    assert call.completed_at is not None
    assert call.started_at.timestamp() - 1 < at_ms / 1000 < call.completed_at.timestamp() + 1
    times = [call.created_at, call.claimed_at, call.started_at, call.completed_at]
    assert times == sorted(time for time in times if time is not None)
    assert await bench.containers() == []
    assert (await bench.queue.depth()).calls == 0


async def test_every_byte_value_passes_unchanged(bench: Bench) -> None:
    payload = bytes(range(256)) * 3
    call_id = await bench.submit("cat; cat >&2 </dev/null; echo -e '\\0x' >&2", payload)
    async with bench.worker():
        await bench.finished(call_id)
    assert await bench.result(call_id) == payload
    assert await bench.store.get_log("bench", call_id) == b"\0x\n"


async def test_an_empty_payload_still_ends(bench: Bench) -> None:
    call_id = await bench.submit("cat; echo end", b"")
    async with bench.worker():
        await bench.finished(call_id)
    assert await bench.result(call_id) == b"end\n"


async def test_large_payload_and_result_pass_at_the_same_time(bench: Bench) -> None:
    payload = bytes(range(256)) * 20_480  # 5 MiB, far beyond every buffer on the way
    call_id = await bench.submit("cat", payload)
    async with bench.worker():
        call = await bench.finished(call_id)
    assert call.status is CallStatus.SUCCESS
    assert await bench.result(call_id) == payload


async def test_a_function_need_not_read_its_payload(bench: Bench) -> None:
    ended = await bench.submit("echo done", b"x" * 3_000_000)
    long = await bench.submit("exec </dev/null; sleep 0.5; echo done", b"x" * 3_000_000)
    async with bench.worker():
        for call_id in (ended, long):
            assert (await bench.finished(call_id)).status is CallStatus.SUCCESS
            assert await bench.result(call_id) == b"done\n"


async def test_nonzero_exit_is_a_bad_exit(bench: Bench) -> None:
    call_id = await bench.submit("echo partial; echo why >&2; exit 7")
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail) == (CallStatus.ERROR, Reason.BAD_EXIT, "exit_code")
    assert (call.exit_code, call.error) == (
        7,
        "container exit code 7; the log ends with: why",
    )
    assert await bench.result(call_id) == b"partial\n"
    assert await bench.log(call_id) == "why\n"


async def test_timeout_kills_at_the_limit_and_keeps_what_was_printed(bench: Bench) -> None:
    call_id = await bench.submit("echo partial; echo begun >&2; sleep 60", timeout=1)
    async with bench.worker():
        call = await bench.finished(call_id)
        await bench.no_containers()
    assert (call.status, call.reason, call.detail) == (CallStatus.ERROR, Reason.TIMEOUT, "run_timeout")
    assert (call.error, call.exit_code) == ("Timed out", None)
    assert call.completed_at - call.started_at >= timedelta(seconds=1)  # type: ignore[operator]
    assert await bench.result(call_id) == b"partial\n"
    assert await bench.log(call_id) == "begun\n"


async def test_a_function_that_ended_before_it_was_to_be_killed_was_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = DockerDriver.wait

    async def tell_late(self: DockerDriver, name: str) -> int:
        exit_code = await tell(self, name)
        await asyncio.sleep(2)
        return exit_code

    monkeypatch.setattr(DockerDriver, "wait", tell_late)
    call_id = await bench.submit("echo done; exit 3", timeout=1)
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.reason, call.exit_code) == (Reason.BAD_EXIT, 3)
    assert await bench.result(call_id) == b"done\n"


async def test_output_that_comes_after_a_full_log_and_pipe_still_counts(bench: Bench) -> None:
    call_id = await bench.submit("head -c 3000000 /dev/zero >&2; echo -n answer; exec >&- 2>&-; sleep 0.3")
    async with bench.worker(log_max_bytes=1000):
        call = await bench.finished(call_id)
    assert call.status is CallStatus.SUCCESS
    assert await bench.result(call_id) == b"answer"


async def test_memory_hog_is_killed_as_such(bench: Bench) -> None:
    call_id = await bench.submit("tail /dev/zero", memory=32)
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail) == (CallStatus.ERROR, Reason.KILLED, "oom_killed")
    assert call.error == (
        "container out of memory, you may want to raise route.memory for this route (now: 32MB)"
    )


async def test_the_smallest_memory_that_a_route_may_ask_for_runs(bench: Bench) -> None:
    call_id = await bench.submit(FAST, memory=1)
    async with bench.worker():
        assert (await bench.finished(call_id)).status is CallStatus.SUCCESS


async def test_sigkill_from_inside_is_no_memory_trouble(bench: Bench) -> None:
    call_id = await bench.submit("exit 137")
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.reason, call.detail, call.exit_code) == (Reason.KILLED, "signalled", 137)


async def test_a_container_stopped_from_outside_never_passes_for_a_success(bench: Bench) -> None:
    call_id = await bench.submit("trap 'exit 0' TERM; sleep 60 & wait; echo done")
    async with bench.worker():
        container = await bench.running(call_id)
        stopping = await asyncio.create_subprocess_exec("docker", "stop", container.id, stdout=DEVNULL)
        await stopping.wait()
        call = await bench.finished(call_id)
    assert (call.status, call.detail, call.exit_code) == (CallStatus.ERROR, "signalled", 137)


async def test_a_start_that_an_image_makes_impossible_is_not_tried_again(bench: Bench) -> None:
    async with derived_image("USER nobody-knows") as image, bench.worker(max_attempts=2):
        call = await bench.finished(await bench.submit(FAST, image=image))
    assert (call.status, call.reason, call.detail) == (CallStatus.ERROR, Reason.KILLED, "start_refused")
    assert call.attempt == 1
    assert call.error.startswith("Container could not be started: unable to find user nobody-knows")
    assert (await bench.queue.depth()).calls == 0


async def test_a_start_that_the_engine_fails_is_tried_again_and_its_reason_shown_and_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.containers.docker.is_images_fault", lambda _answer: False)
    async with derived_image("USER nobody-knows") as image, bench.worker(max_attempts=2):
        call_id = await bench.submit(FAST, image=image)

        async def waits_again() -> Call | None:
            call = await bench.call(call_id)
            return call if call.attempt == 1 and call.last_detail else None

        waiting = await eventually(waits_again)
        assert waiting is not None
        assert (waiting.status.is_final, waiting.last_detail) == (False, "start_failed")
        assert "nobody-knows" in waiting.last_error
        call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail) == (CallStatus.ERROR, Reason.KILLED, "start_failed")
    assert call.attempt == 2
    assert call.error.startswith("Container could not be started: ")
    assert (await bench.queue.depth()).calls == 0


async def test_a_network_that_was_removed_is_made_again_and_costs_no_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before the start: as a prune of the engine does, between two looks of the worker."""
    starts = list[str]()
    start = DockerDriver._start

    async def pruned_before(driver: DockerDriver, name: str) -> None:
        starts.append(name)
        if len(starts) == 1:
            network = await driver._docker.networks.get(NETWORK_NAME)
            await network.delete()
        await start(driver, name)

    monkeypatch.setattr(DockerDriver, "_start", pruned_before)
    call_id = await bench.submit("echo fine")
    async with bench.worker(network="bridge"):
        call = await bench.finished(call_id)
    assert (call.status, call.attempt, len(starts)) == (CallStatus.SUCCESS, 1, 2)


async def test_result_over_the_limit_is_killed(bench: Bench) -> None:
    call_id = await bench.submit("cat /dev/zero", memory=64)
    async with bench.worker(result_max_bytes=1000):
        call = await bench.finished(call_id)
    assert (call.status, call.reason) == (CallStatus.ERROR, Reason.KILLED)
    assert (call.detail, call.error) == ("response_too_large", "response is larger than 1000 bytes")
    assert await bench.result(call_id) == bytes(1000)


async def test_log_over_the_limit_is_cut_with_a_mark_and_the_call_goes_on(bench: Bench) -> None:
    call_id = await bench.submit("head -c 300000 /dev/zero >&2; echo fine")
    async with bench.worker(log_max_bytes=1000):
        call = await bench.finished(call_id)
    assert call.status is CallStatus.SUCCESS
    assert await bench.result(call_id) == b"fine\n"
    mark = b"\n-----max log size 1000 bytes exceeded, truncating log-----\n"
    assert await bench.store.get_log("bench", call_id) == bytes(1000) + mark


@pytest.mark.parametrize("image", ["millrace-test/missing:1", "127.0.0.1:9/missing@sha256:" + "0" * 64])
async def test_an_image_that_can_not_be_had_ends_the_call_after_its_last_attempt(
    bench: Bench, image: str
) -> None:
    call_id = await bench.submit("", image=image)
    async with bench.worker(max_attempts=2, registries="docker.io,127.0.0.1:9"):
        call = await bench.finished(call_id)
    assert (call.status, call.reason) == (CallStatus.ERROR, Reason.KILLED)
    assert (call.detail, call.attempt) in (
        ("image_not_found", 1),
        ("registry_unknown", 2),
        ("registry_unreachable", 2),
        ("registry_timeout", 2),
    )
    assert image in call.error
    assert "dial" not in call.error
    assert call.started_at is None
    assert (await bench.queue.depth()).calls == 0


async def test_a_format_that_is_not_built_is_refused(bench: Bench) -> None:
    call_id = await bench.submit(FAST, format="of-tomorrow")
    async with bench.worker():
        call = await bench.finished(call_id)
    assert (call.status, call.reason, call.detail) == (
        CallStatus.ERROR,
        Reason.KILLED,
        "unsupported_format",
    )


async def test_stats_are_sampled_while_a_call_runs(bench: Bench) -> None:
    call_id = await bench.submit("while true; do :; done & sleep 2.2; kill %1")
    async with bench.worker():
        call = await bench.finished(call_id)
    assert 2 <= len(call.stats) <= 4
    first, second = call.stats[0].metrics, call.stats[1].metrics
    assert first.keys() == {"net_rx", "net_tx", "mem_limit", "mem_usage", "disk_read", "disk_write"}
    assert second.keys() - first.keys() == {"cpu_user", "cpu_total", "cpu_kernel"}
    assert first["mem_limit"] == 128 * 1024 * 1024
    assert 0 < second["mem_usage"] <= first["mem_limit"]
    assert second["cpu_total"] > 10


async def test_start_is_shown_before_the_end_of_a_long_call(bench: Bench) -> None:
    call_id = await bench.submit("sleep 2")
    async with bench.worker():
        await bench.running(call_id)

        async def shown() -> Call | None:
            call = await bench.call(call_id)
            return call if call.started_at else None

        begun = await eventually(shown, timeout_s=2)
        assert begun is not None
        assert begun.status is CallStatus.RUNNING
        assert (await bench.finished(call_id)).started_at == begun.started_at


async def test_twenty_calls_on_two_slots_all_finish_two_at_a_time(bench: Bench) -> None:
    call_ids = [await bench.submit("cat", str(number).encode()) for number in range(20)]
    async with bench.worker():
        calls = [await bench.finished(call_id, 60) for call_id in call_ids]
    assert {call.status for call in calls} == {CallStatus.SUCCESS}
    assert [await bench.result(call_id) for call_id in call_ids] == [
        str(number).encode() for number in range(20)
    ]
    begins = [(call.started_at, 1) for call in calls]
    ends = [(call.completed_at, -1) for call in calls]
    running = most = 0
    for _, change in sorted(begins + ends):
        running += change
        most = max(most, running)
    assert most == 2


async def test_memory_bounds_what_runs_at_once(bench: Bench) -> None:
    call_ids = [await bench.submit("sleep 0.3", memory=64) for _ in range(4)]
    async with bench.worker(worker_slots=4, worker_memory_mb=100):
        calls = [await bench.finished(call_id) for call_id in call_ids]
    times = [time for call in calls for time in (call.started_at, call.completed_at) if time is not None]
    assert times == sorted(times)  # one after the other, in their order
    assert len(times) == 8


async def test_a_call_larger_than_the_worker_does_not_block_the_others(bench: Bench) -> None:
    large = await bench.submit(FAST, memory=512)
    small = await bench.submit(FAST, memory=64)
    async with bench.worker(worker_memory_mb=100):
        assert (await bench.finished(small)).status is CallStatus.SUCCESS
        assert (await bench.call(large)).status is CallStatus.QUEUED
