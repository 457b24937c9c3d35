"""The pool on a real engine: who gets which container, what is launched and removed, and that doubt is death.

The functions are shell loops that read a line and answer a line.
"""

import asyncio
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from common.errors import ContainerVanishedError, EngineUnavailableError
from common.settings import Settings, load_settings
from tests.integration.worker.test_outages import Relay
from tests.polling import eventually
from worker.containers.attach import Line
from worker.containers.docker import DockerDriver
from worker.containers.driver import LABEL_HOT, ContainerSpec, FailedForNowError, Image
from worker.containers.hot import ContainerExitedError, ExcessOutputError, Slot
from worker.containers.images import Images
from worker.containers.pool import ContainerPool
from worker.containers.slots import PoolCounts, PoolLimits, SlotKey
from worker.formats.base import BadResponseError, Response
from worker.logcapture import CallLog

LABEL = "millrace-test.pool"
MEMORY_MB = 32
LOG_BYTES = 1000
ECHO = "exec cat"
# Does what each line says, with an answer of one line.
SHELL = 'while read -r line; do eval "$line"; done'


class LineReader:
    """One line is one answer."""

    def __init__(self) -> None:
        self._line = bytearray()

    def feed(self, data: bytes | memoryview) -> Response | None:
        self._line += data
        if b"\n" not in self._line:
            return None
        if not self._line.endswith(b"\n") or self._line.count(b"\n") > 1:
            raise BadResponseError("more than a line")
        return Response(
            status=200, headers={}, body=bytes(self._line[:-1]), is_last=self._line.startswith(b"last")
        )

    def end(self) -> Response | None:
        return None

    def forget(self) -> None:
        del self._line[:-1]


class Yard:
    """A pool of the test's own, and what the engine has of it."""

    def __init__(self, driver: DockerDriver, image: Image) -> None:
        self.driver = driver
        self.image = image
        self.labels = {LABEL: secrets.token_hex(6)}
        self.free_mb = 10_000

    @asynccontextmanager
    async def pool(self, **limits: Any) -> AsyncIterator[ContainerPool]:
        pool = ContainerPool(self.driver, PoolLimits(**limits), lambda: self.free_mb)
        try:
            yield pool
        finally:
            await pool.aclose()

    async def acquire(
        self, pool: ContainerPool, script: str = ECHO, *, idle_timeout_s: float = 60, **spec_fields: Any
    ) -> Slot:
        spec = ContainerSpec(
            name="",
            image=self.image,
            env={"SCRIPT": script},
            labels=self.labels,
            memory_mb=MEMORY_MB,
            writable_root=False,
        )
        return await pool.acquire(
            SlotKey(script.encode(), self.image.id), replace(spec, **spec_fields), idle_timeout_s
        )

    async def call(self, pool: ContainerPool, line: str, script: str = ECHO) -> tuple[str, str, str]:
        """The container's name, the answer, and the log of one whole call."""
        slot = await self.acquire(pool, script)
        call_log = CallLog(LOG_BYTES)
        try:
            answer = await say(slot, line, call_log)
        finally:
            await pool.give_back(slot)
        return slot.name, answer, call_log.value().decode()

    async def names(self) -> set[str]:
        """The containers that the engine has, in whatever state."""
        return {container.labels[LABEL_HOT] for container in await self.driver.list(self.labels)}

    async def become(self, names: set[str]) -> None:
        """Wait until the engine has these and no other."""

        async def are() -> bool:
            return await self.names() == names

        await eventually(are)


async def say(slot: Slot, line: str, call_log: CallLog | None = None) -> str:
    async with asyncio.timeout(20):
        response = await slot.exchange([line.encode(), b"\n"], LineReader(), call_log or CallLog(LOG_BYTES))
    return response.body.decode()


async def start_together(*coroutines: Any) -> list[asyncio.Task[Any]]:
    """One task each, which have all gone as far as they can without the engine."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


@pytest.fixture
async def yard(shell_image: str) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as stack:
        driver = await stack.enter_async_context(DockerDriver.open(Settings(network="none")))
        yard = Yard(driver, await Images(driver, Settings()).ensure(shell_image))
        try:
            yield yard
        finally:
            for container in await driver.list(yard.labels):
                await driver.remove(container.id)


# -- who gets which container ----------------------------------------------------------------------------------------


async def test_one_container_serves_call_after_call(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool)
        assert slot.is_fresh
        assert await say(slot, "one") == "one"
        await pool.give_back(slot)
        again = await yard.acquire(pool)
        assert again.name == slot.name
        assert not again.is_fresh
        assert await say(again, "two") == "two"
        await pool.give_back(again)
        assert await yard.names() == {slot.name}
    assert await yard.names() == set()


async def test_another_revision_gets_another_container(yard: Yard) -> None:
    async with yard.pool() as pool:
        first, _, _ = await yard.call(pool, "one", ECHO)
        second, _, _ = await yard.call(pool, "one", ECHO + " -")
        assert first != second


async def test_the_newest_idle_one_is_taken_first(yard: Yard) -> None:
    """Fn's U-36."""
    async with yard.pool() as pool:
        older, newer = await asyncio.gather(yard.acquire(pool), yard.acquire(pool))
        await pool.give_back(older)
        await pool.give_back(newer)
        assert (await yard.acquire(pool)) is newer
        assert (await yard.acquire(pool)) is older


async def test_a_returned_container_goes_to_the_oldest_waiting_call_at_once(yard: Yard) -> None:
    async with yard.pool(max_per_route=1) as pool:
        slot = await yard.acquire(pool)
        first, second = await start_together(yard.acquire(pool), yard.acquire(pool))
        await pool.give_back(slot)
        assert pool.counts() == PoolCounts(idle=0, paused=0, busy=1, starting=0)
        assert await first is slot
        assert not second.done()
        await pool.give_back(slot)
        assert await second is slot
        await pool.give_back(slot)


async def test_as_many_are_launched_as_calls_wait(yard: Yard) -> None:
    async with yard.pool() as pool:
        waiting = await start_together(*(yard.acquire(pool) for _ in range(3)))
        assert pool.counts().starting == 3
        slots = [await one for one in waiting]
        await pool.give_back(slots[0])
        assert await yard.acquire(pool) is slots[0]
        await yard.become({slot.name for slot in slots})


async def test_a_call_that_stops_waiting_stops_no_launch(yard: Yard) -> None:
    async with yard.pool() as pool:
        hasty, patient = await start_together(yard.acquire(pool), yard.acquire(pool))
        hasty.cancel()
        slot = await patient
        await eventually(lambda: pool.counts() == PoolCounts(idle=1, paused=0, busy=1, starting=0))
        assert len(await yard.names()) == 2
        await pool.give_back(slot)


async def test_a_call_cancelled_as_it_is_served_passes_its_container_on(yard: Yard) -> None:
    async with yard.pool(max_per_route=1) as pool:
        slot = await yard.acquire(pool)
        hasty, patient = await start_together(yard.acquire(pool), yard.acquire(pool))
        giving_back = asyncio.create_task(pool.give_back(slot))
        await asyncio.sleep(0)  # it is handed over, and the call has not seen it yet
        hasty.cancel()
        assert await patient is slot
        await giving_back


async def test_a_failed_launch_fails_one_call(yard: Yard) -> None:
    async with yard.pool(max_per_route=1) as pool:
        missing = Image(id="sha256:" + "0" * 64)
        first, second = await start_together(*(yard.acquire(pool, image=missing) for _ in range(2)))
        with pytest.raises(FailedForNowError):
            await first
        assert not second.done()
        with pytest.raises(FailedForNowError):
            await second
        await eventually(lambda: not pool._books._stocks)


# -- idle ones -------------------------------------------------------------------------------------------------------


async def test_an_idle_container_goes_after_its_idle_timeout(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, idle_timeout_s=0.3)
        await pool.give_back(slot)
        assert pool.counts().idle == 1
        await yard.become(set())
        await eventually(lambda: not pool.holds(slot.name))
        assert not pool._books._stocks


async def test_idle_ones_make_room_for_a_launch(yard: Yard) -> None:
    yard.free_mb = 2 * MEMORY_MB
    async with yard.pool() as pool:
        old, new = await asyncio.gather(yard.acquire(pool), yard.acquire(pool))
        await pool.give_back(old)
        await pool.give_back(new)
        yard.free_mb -= MEMORY_MB  # granted to the next call
        other = await yard.acquire(pool, SHELL)
        assert await yard.names() == {new.name, other.name}


async def test_room_is_made_before_it_is_needed_elsewhere(yard: Yard) -> None:
    async with yard.pool() as pool:
        await yard.call(pool, "one")
        yard.free_mb = MEMORY_MB - 1
        await pool.make_room()
        assert await yard.names() == set()


async def test_a_grant_ends_in_the_step_in_which_its_container_idles(yard: Yard) -> None:
    idle_mb: list[int] = []
    async with yard.pool() as pool:
        for _ in range(2):  # at first it is held back for its log, then it is not
            slot = await yard.acquire(pool)
            await say(slot, "one")
            await pool.give_back(slot, lambda: idle_mb.append(pool._books.idle_mb))
    assert idle_mb == [MEMORY_MB] * 2


async def test_a_grant_ends_in_the_step_in_which_its_container_serves_another_call(yard: Yard) -> None:
    served: list[bool] = []
    async with yard.pool(max_per_route=1) as pool:
        slot = await yard.acquire(pool)
        (waiting,) = await start_together(yard.acquire(pool))
        (stock,) = pool._books._stocks.values()
        await pool.give_back(slot, lambda: served.append(not stock.waiters))
        assert await waiting is slot
    assert served == [True]


async def test_a_grant_covers_a_container_in_doubt_until_it_is_gone(yard: Yard) -> None:
    held: list[bool] = []
    async with yard.pool() as pool:
        slot = await yard.acquire(pool)
        await say(slot, "last one")
        await pool.give_back(slot, lambda: held.append(pool.holds(slot.name)))
    assert held == [False]


async def test_the_cap_of_all_makes_an_idle_one_give_way(yard: Yard) -> None:
    async with yard.pool(max_containers=2) as pool:
        kept = await yard.acquire(pool)
        await yard.call(pool, "echo one", SHELL)
        other = await yard.acquire(pool, SHELL + ";")
        assert await yard.names() == {kept.name, other.name}
        (waiting,) = await start_together(yard.acquire(pool, SHELL))
        assert pool.counts().starting == 0
        await pool.give_back(other)
        third = await waiting
        assert await yard.names() == {kept.name, third.name}


async def test_a_busy_key_does_not_keep_every_place_for_ever(yard: Yard) -> None:
    async with yard.pool(max_containers=1) as pool:

        async def be_busy() -> None:
            while True:
                await yard.call(pool, "one")

        busy = await start_together(be_busy(), be_busy())
        await eventually(lambda: pool.counts().busy)
        assert (await yard.call(pool, "echo two", SHELL))[1] == "two"
        for task in busy:
            task.cancel()
        await asyncio.wait(busy)


async def test_no_call_waits_beside_an_idle_container_of_its_key(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place comes free by a failed launch just before: it is the starving call's, and the container its own key's."""
    monkeypatch.setattr("worker.containers.slots.STARVED_S", 0.0)
    async with yard.pool(max_containers=2) as pool:
        await yard.call(pool, "one")
        slot = await yard.acquire(pool)
        missing = Image(id="sha256:" + "0" * 64)
        failing, starving, waiting = await start_together(
            yard.acquire(pool, SHELL + ";", image=missing), yard.acquire(pool, SHELL), yard.acquire(pool)
        )
        with pytest.raises(FailedForNowError):
            await failing
        await pool.give_back(slot)
        async with asyncio.timeout(20):
            assert await waiting is slot
            await pool.give_back(await starving)
        await pool.give_back(slot)
        assert pool.counts() == PoolCounts(idle=2, paused=0, busy=0, starting=0)


async def test_an_idle_one_is_paused_and_runs_again_for_a_call(yard: Yard) -> None:
    async with yard.pool(pause_after_s=0.05) as pool:
        name, _, _ = await yard.call(pool, "one")
        await eventually(lambda: is_paused(name))
        assert pool.counts().paused == 1
        assert (await yard.call(pool, "two"))[:2] == (name, "two")
        await eventually(lambda: is_paused(name))
    assert await yard.names() == set()


async def test_work_after_the_answer_ends_soon_and_has_a_quota_of_cpu(yard: Yard) -> None:
    """By default: a second after the answer the container is paused, and all of it has one core at most."""
    settings = load_settings({})
    burn = "echo one; (while :; do :; done) & (while :; do :; done) &"  # more than one core, if it may
    async with yard.pool(pause_after_s=settings.hot_pause_after_s) as pool:
        name, _, _ = await yard.call(pool, burn, SHELL)
        began_at, before = time.monotonic(), await cpu_ns(yard, name)
        await asyncio.sleep(0.5)
        burnt_s = (await cpu_ns(yard, name) - before) / 1e9
        assert 0 < burnt_s < time.monotonic() - began_at + 0.2  # the quota is one of each 0.1 s
        await eventually(lambda: is_paused(name), timeout_s=10)
        paused = await cpu_ns(yard, name)
        await asyncio.sleep(0.5)
        assert await cpu_ns(yard, name) == paused


async def test_a_pause_under_way_is_waited_for(yard: Yard) -> None:
    async with yard.pool(pause_after_s=0.05) as pool:
        name, _, _ = await yard.call(pool, "one")
        await eventually(lambda: pool.counts().paused, interval_s=0.001)
        assert (await yard.call(pool, "two"))[:2] == (name, "two")


# -- doubt is death --------------------------------------------------------------------------------------------------


async def test_a_byte_from_an_idle_container_removes_it(yard: Yard) -> None:
    async with yard.pool() as pool:
        await yard.call(pool, "echo one; (sleep 0.1; echo late) &", SHELL)
        assert pool.counts().idle == 1
        await yard.become(set())
        assert (await yard.call(pool, "echo two", SHELL))[1] == "two"


async def test_a_container_that_exits_while_idle_is_dropped(yard: Yard) -> None:
    """Fn's U-36."""
    async with yard.pool() as pool:
        name, _, _ = await yard.call(pool, "echo one; sleep 0.1; exit 3", SHELL)
        await yard.become(set())
        assert (await yard.call(pool, "echo two", SHELL))[0] != name


async def test_an_excess_byte_before_the_end_of_the_call_is_doubt(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, SHELL)
        assert await say(slot, "echo one; sleep 0.1; echo more") == "one"
        await eventually(lambda: not slot.is_reusable)
        await pool.give_back(slot)
        assert await yard.names() == set()


async def test_a_bad_answer_is_doubt(yard: Yard) -> None:
    async with yard.pool() as pool:
        with pytest.raises(BadResponseError):
            await yard.call(pool, "", "read -r line; echo 'one\ntwo'; sleep 30")
        assert await yard.names() == set()


async def test_the_last_answer_is_the_containers_last(yard: Yard) -> None:
    async with yard.pool() as pool:
        assert (await yard.call(pool, "last one"))[1] == "last one"
        assert await yard.names() == set()


async def test_a_cancelled_exchange_is_doubt(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, SHELL)
        (talking,) = await start_together(say(slot, "sleep 30"))
        talking.cancel()
        with suppress(asyncio.CancelledError):
            await talking
        assert not slot.is_reusable
        await pool.give_back(slot)
        assert await yard.names() == set()


async def test_who_is_cancelled_while_it_gives_back_leaves_nothing(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, SHELL)
        await say(slot, "echo last")
        (giving,) = await start_together(pool.give_back(slot))
        giving.cancel()
        await yard.become(set())


@pytest.mark.parametrize(("line", "exit_code"), [("exit 3", 3), ("kill -9 $$", 137)])
async def test_an_exit_instead_of_an_answer_tells_its_code(yard: Yard, line: str, exit_code: int) -> None:
    async with yard.pool() as pool:
        with pytest.raises(ContainerExitedError) as caught:
            await yard.call(pool, line, SHELL)
        error = caught.value
        assert (error.exit_code, error.oom_killed, error.nothing_written) == (exit_code, False, False)
        assert await yard.names() == set()


async def test_a_container_out_of_memory_is_told_from_others(yard: Yard) -> None:
    async with yard.pool() as pool:
        with pytest.raises(ContainerExitedError) as caught:
            await yard.call(pool, "exec tail /dev/zero", SHELL)
        assert caught.value.oom_killed


async def test_what_exits_before_it_was_asked_has_been_written_nothing(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, "exit 3")
        await eventually(lambda: not slot.is_reusable)
        with pytest.raises(ContainerExitedError) as caught:
            await say(slot, "one")
        assert (caught.value.exit_code, caught.value.nothing_written) == (3, True)
        await pool.give_back(slot)


async def test_a_container_that_died_unnoticed_has_been_written_nothing(yard: Yard) -> None:
    async with yard.pool() as pool:
        name, _, _ = await yard.call(pool, "one")
        for command in (
            "kill",
            "wait",
        ):  # the loop stands still: the pool can't hear of it before the call does
            subprocess.run(["docker", command, name], stdout=subprocess.DEVNULL, timeout=20, check=True)  # noqa: ASYNC221
        slot = await yard.acquire(pool)
        assert slot.name == name
        with pytest.raises(ContainerExitedError) as caught:
            await say(slot, "two")
        assert caught.value.nothing_written
        await pool.give_back(slot)


async def test_what_speaks_before_it_was_asked_is_not_asked(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, "echo hello; exec cat")
        await eventually(lambda: not slot.is_reusable)
        with pytest.raises(ExcessOutputError):
            await say(slot, "one")
        await pool.give_back(slot)


async def test_what_somebody_removed_has_vanished(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, SHELL)
        (talking,) = await start_together(say(slot, "sleep 30"))
        await yard.driver.remove(slot.name)
        with pytest.raises(ContainerVanishedError):
            await talking


async def test_an_engine_that_goes_away_breaks_every_slot(yard: Yard, tmp_path: Path) -> None:
    relay = Relay(tmp_path / "engine.sock")
    await relay.open()
    settings = Settings(network="none", docker_socket=str(relay.path))
    async with DockerDriver.open(settings) as driver:
        away = Yard(driver, yard.image)
        away.labels = yard.labels
        async with away.pool(max_per_route=2) as pool:
            talking, idle = await asyncio.gather(away.acquire(pool, SHELL), away.acquire(pool, SHELL))
            await pool.give_back(idle)
            (exchange,) = await start_together(say(talking, "sleep 30"))
            await relay.cut()
            with pytest.raises(EngineUnavailableError):
                await exchange
            assert not idle.is_reusable
            with pytest.raises(EngineUnavailableError):
                await away.acquire(pool, SHELL)
            await pool.give_back(talking)


async def test_a_line_to_nobody(yard: Yard) -> None:
    with pytest.raises(ContainerVanishedError):
        await yard.driver.connect("nobody", Line(Slot("nobody", yard.driver, lambda _: None)))


# -- bytes -----------------------------------------------------------------------------------------------------------


async def test_a_large_request_is_answered_while_it_is_written(yard: Yard) -> None:
    async with yard.pool() as pool:
        line = secrets.token_hex(2 * 1024 * 1024)
        assert (await yard.call(pool, line))[1] == line


async def test_an_answer_before_the_request_was_read_ends_the_exchange(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, "head -c 1 >/dev/null; echo no; sleep 30")
        assert await say(slot, "x" * 4 * 1024 * 1024) == "no"
        assert not slot.is_reusable
        await pool.give_back(slot)


async def test_a_flood_on_stderr_neither_stops_the_answer_nor_grows_the_log(yard: Yard) -> None:
    async with yard.pool() as pool:
        flood = "dd if=/dev/zero bs=1048576 count=20 >&2 2>/dev/null; echo one"
        name, answer, call_log = await yard.call(pool, flood, SHELL)
        assert answer == "one"
        assert LOG_BYTES <= len(call_log) < 2 * LOG_BYTES
        assert (await yard.call(pool, "echo two", SHELL)) == (name, "two", "")


async def test_late_stderr_is_still_the_calls_own(yard: Yard) -> None:
    async with yard.pool() as pool:
        calls = [await yard.call(pool, f"echo {n}; echo late {n} >&2", SHELL) for n in range(20)]
        in_time = [log == f"late {n}\n" for n, (_, _, log) in enumerate(calls)]
        assert sum(in_time) > 15  # nothing can be promised of a machine that is busy


async def test_a_call_waits_for_a_container_that_is_held_back_for_its_log(yard: Yard) -> None:
    async with yard.pool() as pool:
        slot = await yard.acquire(pool, SHELL)
        await say(slot, "echo one; echo some >&2")
        await eventually(slot._heard.is_set)
        giving_back, next_call = await start_together(pool.give_back(slot), yard.acquire(pool, SHELL))
        assert await next_call is slot
        await giving_back
        assert pool.counts() == PoolCounts(idle=0, paused=0, busy=1, starting=0)


async def test_stderr_between_calls_belongs_to_none(yard: Yard) -> None:
    async with yard.pool() as pool:
        name, _, first = await yard.call(pool, "echo one; (sleep 0.1; echo late >&2) &", SHELL)
        slot = pool._places[name].slot
        await eventually(slot._heard.is_set)
        assert (first, await yard.call(pool, "echo two", SHELL)) == ("", (name, "two", ""))


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_closing_leaves_nothing(yard: Yard) -> None:
    async with yard.pool(max_per_route=2, pause_after_s=0.05) as pool:
        await yard.call(pool, "echo one", SHELL)
        await yard.acquire(pool)
        starting, waiting = await start_together(yard.acquire(pool), yard.acquire(pool))
        await eventually(lambda: pool.counts().paused)
        await pool.aclose()
        for task in (starting, waiting):
            with suppress(EngineUnavailableError):
                await task
        assert await yard.names() == set()
        with pytest.raises(EngineUnavailableError):
            await yard.acquire(pool)


class CountingLog(CallLog):
    """Knows how many bytes came, also those that it does not keep."""

    def __init__(self) -> None:
        super().__init__(LOG_BYTES)
        self.heard_bytes = 0

    def append(self, data: bytes | memoryview) -> None:
        self.heard_bytes += len(data)
        super().append(data)


async def test_a_flood_on_stderr_waits_in_its_pipe_and_the_answer_behind_it_comes(shell_image: str) -> None:
    """The rate holds for each container, hot or cold. The function waits for its pipe meanwhile: it does not run."""
    burst_bytes, bytes_per_s, slack_bytes = 2**21, 2**19, 2**19
    settings = Settings(network="none", log_max_bytes_per_s=bytes_per_s)
    async with DockerDriver.open(settings) as driver:
        yard = Yard(driver, await Images(driver, Settings()).ensure(shell_image))
        async with yard.pool() as pool:
            slot, call_log = await yard.acquire(pool, SHELL), CountingLog()
            began_at = time.monotonic()
            (flooding,) = await start_together(say(slot, "busybox yes >&2", call_log))
            await eventually(lambda: call_log.heard_bytes > burst_bytes, timeout_s=10, interval_s=0.01)
            before_ns = await cpu_ns(yard, slot.name)
            await asyncio.sleep(1)
            passed_s = time.monotonic() - began_at
            assert call_log.heard_bytes < burst_bytes + bytes_per_s * passed_s + slack_bytes
            assert await cpu_ns(yard, slot.name) - before_ns < 0.3e9
            flooding.cancel()
            await asyncio.wait({flooding})
            await pool.give_back(slot)

            some = "busybox yes | busybox head -c 4000000 >&2; echo answer"
            assert (await yard.call(pool, some, SHELL))[1] == "answer"


async def cpu_ns(yard: Yard, name: str) -> int:
    usage = await yard.driver.usage(name)
    assert usage is not None
    return usage.cpu_total_ns


async def is_paused(name: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        *("docker", "inspect", "--format", "{{.State.Paused}}", name), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return output.strip() == b"true"
