"""Servers that go away while the worker works: calls wait for them, nothing is lost and nothing is blamed on a call."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest
from msgspec.structs import replace

from common.errors import StoreUnavailableError
from common.models import CallStatus, Outcome, Reason, RetryPolicy, new_id
from common.queue.announcer import Announcer
from common.queue.base import Capacity
from common.store.base import ClaimRequest, Settlement
from common.store.finished import FinishedRecorder
from common.store.postgres import PostgresStore
from tests.integration.worker.bench import Bench, free_port
from tests.polling import eventually
from worker.livelogs import LiveLogs
from worker.metrics import Metrics
from worker.recorder import Recorder
from worker.runs import Run
from worker.spool import Spool

LONG_AT_FIRST = '[ "$FN_ATTEMPT" = 1 ] && sleep 60; echo attempt $FN_ATTEMPT'


class Relay:
    """Passes bytes on to the engine's socket, until it is cut.

    It accepts by itself: asyncio's server leaves a connection open that it accepted just before it was closed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(str(self.path))
        self._listener.listen(100)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def cut(self) -> None:
        """Refuse connections, and break off those that there are."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self.path.unlink()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            accepted, _ = listener.accept()
            serving = asyncio.create_task(_serve(accepted))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)


async def _serve(accepted: socket.socket) -> None:
    async with AsyncExitStack() as stack:
        stack.callback(accepted.close)
        reader, writer = await asyncio.open_unix_connection(sock=accepted)
        stack.callback(writer.transport.abort)
        there, back = await asyncio.open_unix_connection("/var/run/docker.sock")
        stack.callback(back.transport.abort)
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    relay = Relay(tmp_path / "engine.sock")
    yield relay
    await relay.cut()


@asynccontextmanager
async def failing_first(
    bench: Bench, method: str, times: int, *, afterwards: bool = False
) -> AsyncIterator[list[int]]:
    """The store of workers, whose *method* finds Postgres away the first *times*; the sizes of its arguments.

    *afterwards*: it did its work, and only its answer is lost.
    """
    cls = type(bench.store)
    real = getattr(cls, method)
    sizes: list[int] = []

    async def flaky(self: object, items: Sequence[object], *rest: object, **named: object) -> object:
        sizes.append(len(items))
        if len(sizes) <= times:
            if afterwards:
                await real(self, items, *rest, **named)
            raise StoreUnavailableError
        return await real(self, items, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, method, flaky)
        yield sizes


async def test_nothing_is_reserved_while_the_engine_is_away(bench: Bench, relay: Relay) -> None:
    call_id = await bench.submit("echo done")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        bench.process(docker_socket=str(relay.path), worker_port=port),
        aiohttp.ClientSession(url) as http,
    ):

        async def alive() -> bool:
            with suppress(aiohttp.ClientConnectionError):
                async with http.get("/healthz") as reply:
                    return reply.status == 200
            return False

        async def ready() -> bool:
            async with http.get("/readyz") as reply:
                return reply.status == 200

        await eventually(alive, timeout_s=20)
        await eventually(bench.store.live_incarnations)
        assert not await ready()
        call = await bench.call(call_id)
        assert (call.status, call.attempt) == (CallStatus.QUEUED, 0)
        await relay.open()
        call = await bench.finished(call_id)
        assert (call.status, call.attempt) == (CallStatus.SUCCESS, 1)
        assert await ready()
        async with http.get("/metrics") as reply:
            assert (
                'millrace_calls_finished_total{detail="",reason="",status="success"} 1.0'
                in await reply.text()
            )


async def test_an_engine_that_breaks_off_in_mid_call_costs_an_attempt(bench: Bench, relay: Relay) -> None:
    await relay.open()
    call_id = await bench.submit(LONG_AT_FIRST)
    async with bench.worker(docker_socket=str(relay.path)):
        first = await bench.running(call_id)
        await relay.cut()
        await eventually(lambda: is_queued(bench, call_id))
        assert [one.id for one in await bench.containers()] == [first.id]
        await relay.open()
        call = await bench.finished(call_id)
        assert (call.status, call.attempt) == (CallStatus.SUCCESS, 2)
        await bench.no_containers()


async def test_outcomes_wait_for_the_store(bench: Bench) -> None:
    async with failing_first(bench, "settle", 3) as sizes, bench.worker():
        call_id = await bench.submit("echo done")
        assert (await bench.finished(call_id)).status is CallStatus.SUCCESS
        await eventually(lambda: is_acked(bench))
    assert len(sizes) == 4


async def test_that_a_call_waits_for_its_next_attempt_is_told_to_the_store_when_it_is_back(
    bench: Bench,
) -> None:
    call_id = await bench.submit("exit 3", retry=RetryPolicy(max_attempts=2, backoff=3600, backoff_max=3600))
    async with failing_first(bench, "release", 3) as sizes, bench.worker():

        async def delayed() -> bool:
            return (await bench.call(call_id)).status is CallStatus.DELAYED

        await eventually(delayed)
        # Were it still a running one of this worker, who lives, nobody would end it.
        assert (await bench.store.cancel("bench", call_id)).status is CallStatus.CANCELLED
    assert len(sizes) == 4


async def test_what_can_not_be_claimed_goes_back_to_its_place(bench: Bench) -> None:
    call_ids = [await bench.submit("echo done") for _ in range(2)]
    async with failing_first(bench, "claim", 1) as sizes, bench.worker(lease_s=60, worker_slots=1):
        calls = [await bench.finished(call_id) for call_id in call_ids]
    assert {call.attempt for call in calls} == {1}
    assert calls[0].started_at < calls[1].started_at  # type: ignore[operator]
    assert len(sizes) == 3


async def test_a_claim_whose_answer_is_lost_costs_no_attempt(bench: Bench) -> None:
    call_ids = [await bench.submit("echo done") for _ in range(2)]
    async with (
        failing_first(bench, "claim", 2, afterwards=True),
        bench.worker(max_attempts=2, worker_slots=1),
    ):
        calls = [await bench.finished(call_id) for call_id in call_ids]
    assert {(call.status, call.attempt) for call in calls} == {(CallStatus.SUCCESS, 1)}


async def test_a_call_that_was_final_before_it_was_reserved_is_acked_and_not_run(bench: Bench) -> None:
    call_id = await bench.submit("echo done")
    await bench.store.settle_dead([call_id])
    async with bench.worker():
        await eventually(lambda: is_acked(bench))
    call = await bench.call(call_id)
    assert (call.status, call.attempt) == (CallStatus.ERROR, 0)


async def test_outcomes_of_many_calls_share_commits_and_a_bad_one_fails_alone(bench: Bench) -> None:
    call_ids = [await bench.submit("true") for _ in range(6)]
    runs = await claimed(bench, call_ids)
    async with recording_to(bench) as recorder, failing_first(bench, "settle", 0) as sizes:
        outcomes = [success() for _ in runs]
        outcomes[3] = replace(outcomes[3], exit_code=2**40)  # no integer of the store
        results = await asyncio.gather(
            *(recorder.record(run, outcome) for run, outcome in zip(runs, outcomes, strict=True)),
            return_exceptions=True,
        )
    assert [isinstance(result, Exception) for result in results] == [number == 3 for number in range(6)]
    assert sizes[0] == 6
    assert (await bench.queue.depth()).calls == 1
    statuses = [(await bench.call(call_id)).status for call_id in call_ids]
    assert statuses.count(CallStatus.SUCCESS) == 5


async def test_outcomes_that_come_while_others_wait_are_spooled_too(bench: Bench) -> None:
    runs = await claimed(bench, [await bench.submit("true") for _ in range(2)])
    directory = Path(bench.settings.spool_dir)

    def spooled() -> int:
        return len(list(directory.glob("*/*.outcome")))

    async with recording_to(bench) as recorder, failing_first(bench, "settle", 6):
        first = asyncio.create_task(recorder.record(runs[0], success()))
        await eventually(lambda: spooled() == 1)
        second = asyncio.create_task(recorder.record(runs[1], success()))
        await eventually(lambda: spooled() == 2)
        await asyncio.gather(first, second)
    assert spooled() == 0
    for run in runs:
        assert (await bench.call(run.call.id)).status is CallStatus.SUCCESS


async def test_a_group_that_takes_too_long_is_written_in_parts_and_the_next_are_full_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await claimed(bench, [await bench.submit("true") for _ in range(15)])
    settle = PostgresStore.settle
    tries: list[tuple[int, int]] = []
    recorded: list[UUID] = []

    async def settle_slowly(store: PostgresStore, settlements: Sequence[Settlement]) -> set[UUID]:
        tries.append((len(settlements), len(list(Path(bench.settings.spool_dir).glob("*/*.outcome")))))
        if sum(len(settlement.outcome.result) for settlement in settlements) > 10:
            raise StoreUnavailableError
        recorded.extend(settlement.id for settlement in settlements)
        return await settle(store, settlements)

    monkeypatch.setattr(PostgresStore, "settle", settle_slowly)
    async with recording_to(bench) as recorder:
        outcomes = [replace(success(), result=bytes(9 if number < 3 else 0)) for number in range(15)]
        await asyncio.gather(
            *(recorder.record(run, outcome) for run, outcome in zip(runs, outcomes, strict=True))
        )
    assert recorded == [run.call.id for run in runs]
    # How many were tried, and how many of all had a copy on the disk by then.
    assert tries == [(15, 0), (7, 15), (3, 15), (1, 15), (2, 14), (1, 14), (2, 13), (4, 11), (7, 7)]
    assert (await bench.queue.depth()).calls == 0


@pytest.fixture
def slow_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way to Postgres on which nothing gets through in time that has more than 100,000 bytes."""
    settle = PostgresStore.settle

    async def settle_slowly(store: PostgresStore, settlements: Sequence[Settlement]) -> set[UUID]:
        if sum(len(settlement.outcome.result) for settlement in settlements) > 100_000:
            raise StoreUnavailableError from TimeoutError()
        return await settle(store, settlements)

    monkeypatch.setattr(PostgresStore, "settle", settle_slowly)


async def test_an_outcome_that_never_gets_through_ends_without_its_result_and_keeps_nobody_waiting(
    bench: Bench, slow_settle: None
) -> None:
    runs = await claimed(bench, [await bench.submit("true") for _ in range(3)])
    async with recording_to(bench) as recorder, asyncio.timeout(20):
        outcomes = [replace(success(), result=bytes(size)) for size in (200_000, 5)]
        outcomes.append(
            replace(success(), status=CallStatus.ERROR, reason=Reason.BAD_EXIT, result=bytes(200_000))
        )
        await asyncio.gather(
            *(recorder.record(run, outcome) for run, outcome in zip(runs, outcomes, strict=True))
        )
    large, small, failed = [await bench.call(run.call.id) for run in runs]
    assert (large.status, large.reason, large.detail) == (
        CallStatus.ERROR,
        Reason.KILLED,
        "result_not_stored",
    )
    assert "result and log of 200000 bytes could not be stored" in large.error
    assert (small.status, await bench.result(small.id)) == (CallStatus.SUCCESS, bytes(5))
    assert (failed.status, failed.reason, failed.detail) == (CallStatus.ERROR, Reason.BAD_EXIT, "")
    assert len(list(Path(bench.settings.spool_dir).glob("*/*.bad"))) == 2
    assert (await bench.queue.depth()).calls == 0


async def test_a_spooled_outcome_that_never_gets_through_keeps_no_worker_from_starting(
    bench: Bench, slow_settle: None
) -> None:
    (run,) = await claimed(bench, [await bench.submit("true")])
    spool = Spool(bench.settings, await bench.store.installation_id())
    outcome = replace(success(), result=bytes(200_000))
    await spool.keep([Settlement(id=run.call.id, token=run.token, outcome=outcome)])
    assert await spool.settle_left(bench.store) == 1
    assert (await bench.call(run.call.id)).detail == "result_not_stored"
    assert await spool.settle_left(bench.store) == 0


async def test_an_outcome_of_a_call_that_is_anothers_by_now_is_dropped(bench: Bench) -> None:
    call_id = await bench.submit("true")
    (first,) = await claimed(bench, [call_id])
    await bench.queue.release([first.reservation])
    (second,) = await claimed(bench, [call_id])
    async with recording_to(bench) as recorder:
        await recorder.record(first, replace(success(), result=b"stale"))
        assert (await bench.call(call_id)).status is CallStatus.RUNNING
        await recorder.record(second, replace(success(), result=b"fresh"))
    assert await bench.result(call_id) == b"fresh"
    assert (await bench.queue.depth()).calls == 0


async def test_a_run_ends_with_its_record_whatever_becomes_of_the_ack(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = await bench.submit("true")
    (run,) = await claimed(bench, [call_id])

    async def fail(_: object) -> None:
        raise RuntimeError("nobody expects this")

    monkeypatch.setattr(bench.queue, "ack", fail)
    async with recording_to(bench) as recorder, asyncio.timeout(10):
        await recorder.record(run, success())
    assert (await bench.call(call_id)).status is CallStatus.SUCCESS


@asynccontextmanager
async def recording_to(bench: Bench) -> AsyncIterator[Recorder]:
    finished = FinishedRecorder(bench.store)
    announcer = Announcer(bench.queue)
    live_logs = LiveLogs(bench.store, announcer)
    spool = Spool(bench.settings, await bench.store.installation_id())
    recorder = Recorder(bench.store, bench.queue, finished, spool, announcer, live_logs, Metrics())
    recording = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        recording.cancel()
        await finished.aclose()
        await announcer.aclose()


async def claimed(bench: Bench, call_ids: Sequence[UUID]) -> list[Run]:
    """Reserve and claim these calls, all that there are."""
    incarnation = new_id()
    await bench.store.register_worker(incarnation, "here", 1, 1)
    slots = len(call_ids)
    capacity = Capacity(slots=slots, sync_slots=0, async_slots=slots, free_mb=10_000, total_mb=10_000)
    reservations = (await bench.queue.reserve(capacity, incarnation)).reservations
    requests = [ClaimRequest(id=found.id, token=found.token) for found in reservations]
    claims = await bench.store.claim(requests, incarnation, 5)
    assert [claim.call.id for claim in claims] == list(call_ids)
    return [Run(found, claim.call) for found, claim in zip(reservations, claims, strict=True)]


def success() -> Outcome:
    return Outcome(status=CallStatus.SUCCESS, exit_code=0, completed_at=datetime.now(UTC))


async def is_queued(bench: Bench, call_id: UUID) -> bool:
    return (await bench.call(call_id)).status is CallStatus.QUEUED


async def is_acked(bench: Bench) -> bool:
    return (await bench.queue.depth()).calls == 0
