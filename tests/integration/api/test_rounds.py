"""What a round of the reconciler looks at, what makes it look at everything, and that two at once harm nothing."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from api import reconciler, restoring
from common.errors import QueueLostError, StoreUnavailableError
from common.models import QueueEntry, new_id
from common.settings import Settings
from common.store import backlog
from common.store.base import ClaimRequest
from deploy.local import LocalRedis
from tests.integration.api.rounds import restored, rounds_of, stored, sweeps
from tests.integration.api.served import ROOMY, ServedApi

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "PAGE_CALLS", 4)


@pytest.fixture
def own(settings: Settings, own_redis: LocalRedis) -> Settings:
    return replace(settings, redis_url=own_redis.url)


async def lose(api: ServedApi, entries: Sequence[QueueEntry]) -> None:
    """Let the queue forget these, for no reason that it could give."""
    await api.queue.cancel([entry.id for entry in entries])


async def calls(api: ServedApi) -> int:
    return (await api.queue.depth()).calls


async def test_a_round_looks_at_what_came_since_the_last_one(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "COUNT_EVERY_S", 3600)
    rounds = rounds_of(api)
    await rounds.run_round()
    await rounds.run_round()
    old = [*await stored(api, 6), *await stored(api, 3, priority=2), *await stored(api, 1, delay_s=100)]
    await rounds.run_round()
    assert (await calls(api), restored(api, "new")) == (10, 10)
    await lose(api, old[:5])
    new = await stored(api, 5, priority=1)
    await rounds.run_round()
    assert (await calls(api), restored(api, "new")) == (10, 15)
    await lose(api, new)
    await rounds.run_round()
    assert await calls(api) == 5
    assert sweeps(api) == {"start": 1}


async def test_a_call_whose_push_is_under_way_is_not_missing(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed, so it is read; its push comes a moment later."""
    rounds = rounds_of(api)
    await rounds.run_round()
    entries = await stored(api, 3)
    belonging = getattr(api.store, "belonging", None)

    async def after_the_push(ids: Collection[UUID]) -> list[QueueEntry]:
        await api.queue.push(entries)
        return await belonging(ids)  # type: ignore[misc, no-any-return]

    monkeypatch.setattr(api.store, "belonging", after_the_push, raising=False)
    await rounds.run_round()
    assert (await calls(api), restored(api, "new")) == (3, 0)


async def test_a_call_that_ended_since_it_was_read_is_not_missing(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = rounds_of(api)
    await rounds.run_round()
    unfinished = api.store.unfinished

    async def read_and_run(priority: int, after: int, limit: int) -> list[QueueEntry]:
        page = await unfinished(priority, after, limit)
        await api.queue.push(page)
        await api.run_all()
        return page

    monkeypatch.setattr(api.store, "unfinished", read_and_run)
    await stored(api, 3)
    await rounds.run_round()
    assert (await calls(api), restored(api, "new")) == (0, 0)


async def test_a_round_does_not_run_after_what_is_being_submitted(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = rounds_of(api)
    unfinished, reads = api.store.unfinished, 0

    async def read_and_submit(priority: int, after: int, limit: int) -> list[QueueEntry]:
        nonlocal reads
        reads += 1
        page = await unfinished(priority, after, limit)
        if priority == 0 and reads < 30:
            await api.queue.push(await stored(api, 1))
        return page

    monkeypatch.setattr(api.store, "unfinished", read_and_submit)
    await stored(api, 6)
    await rounds.run_round()
    assert reads < 10


async def test_a_call_that_commits_late_is_not_passed_over(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place was drawn before those of calls that rounds have seen already."""
    monkeypatch.setattr(backlog, "SETTLING_S", 0.05)
    rounds = rounds_of(api)
    await stored(api, 1)
    await rounds.run_round()
    async with api.store.get_database().acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO calls (id, app_name, path, type, status, priority, delay_s, memory_mb, route_revision,"
            " created_at) VALUES (gen_random_uuid(), 'app', '/p', 'async', 'queued', 0, 0, 1, '', now())"
        )
        await stored(api, 2)
        for _ in range(3):
            await rounds.run_round()
            assert await calls(api) == 3
        await transaction.commit()
    await rounds.run_round()
    assert await calls(api) == 4
    assert sweeps(api) == {"start": 1}


async def test_another_generation_makes_a_round_look_at_everything(own: Settings, admin: Redis) -> None:
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        await stored(api, 11)
        await rounds.run_round()
        await admin.flushall()
        await api.queue.push(await stored(api, 11, priority=1))
        await rounds.run_round()
        assert await calls(api) == 22
        assert sweeps(api) == {"start": 1, "loss": 1}


async def test_another_run_of_redis_makes_a_round_look_at_everything_first_at_what_is_new(
    own: Settings, own_redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lack its last writes, though its data is of the same generation."""
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        entries = await stored(api, 11)
        await rounds.run_round()
        generation = await api.queue.generation()
        await lose(api, entries[:3])
        new = await stored(api, 2)
        await own_redis.stop()
        await own_redis.start()
        assert await api.queue.generation() == generation
        push, pages = api.queue.push, []

        async def watched(page: Sequence[QueueEntry], generation: int | None = None) -> int:
            pages.append(list(page))
            return await push(page, generation)

        monkeypatch.setattr(api.queue, "push", watched)
        await rounds.run_round()
        assert (await calls(api), restored(api, "restart")) == (13, 5)
        assert pages[0] == new
        await rounds.run_round()
        assert sweeps(api) == {"start": 1, "restart": 1}


async def test_counts_that_disagree_make_a_round_look_at_everything(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "COUNT_EVERY_S", 0)
    monkeypatch.setattr(reconciler, "SHARE", 0)
    rounds = rounds_of(api)
    entries = await stored(api, 20)
    for _ in range(3):
        await rounds.run_round()
    assert sweeps(api) == {"start": 1}
    await api.queue.reserve(replace(ROOMY, slots=3), new_id())
    await rounds.run_round()
    assert sweeps(api) == {"start": 1}, "those that are missing are reserved, and not yet claimed"
    await lose(api, entries[10:12])
    await rounds.run_round()
    assert (await calls(api), restored(api, "counts")) == (20, 2)
    await lose(api, entries[15:])
    await rounds.run_round()
    assert sweeps(api) == {"start": 1, "counts": 1}, "it just did: what is still missing is not to be had so"


async def test_everything_is_looked_at_now_and_then_as_a_net(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "COUNT_EVERY_S", 3600)
    monkeypatch.setattr(reconciler, "SWEEP_EVERY_S", 0)
    monkeypatch.setattr(reconciler, "SHARE", 0)
    rounds = rounds_of(api)
    entries = await stored(api, 6)
    await rounds.run_round()
    await lose(api, entries[:2])
    await rounds.run_round()
    assert (await calls(api), restored(api, "net")) == (6, 2)


async def test_what_costs_much_is_done_seldom(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "COUNT_EVERY_S", 0)
    monkeypatch.setattr(reconciler, "SWEEP_EVERY_S", 0)
    monkeypatch.setattr(reconciler, "SHARE", 1e6)
    rounds = rounds_of(api)
    await stored(api, 1)
    await rounds.run_round()
    await rounds.run_round()
    memory = (await api.store.look_at_turn(rounds._turn_name)).memory
    now_s = (await api.store.look_at_turn("nobody's")).now_s
    assert memory["sweep_due_s"] > now_s + 1000
    assert memory["count_due_s"] > now_s + 100


async def test_a_running_call_without_a_live_worker_that_the_queue_forgot_comes_back(api: ServedApi) -> None:
    rounds = rounds_of(api)
    (entry,) = await stored(api, 1)
    await rounds.run_round()
    (claimed,) = await api.claim()
    await api.queue.cancel([entry.id])
    await api.queue.maintain()
    reservations = (await api.queue.reserve(ROOMY, new_id())).reservations
    assert reservations == []
    await api.store.get_database().execute("UPDATE workers SET heartbeat_at = now() - interval '1 hour'")
    incarnation = await api.store.get_database().fetchval("SELECT incarnation FROM calls")
    await api.queue.release_incarnation(incarnation)
    assert await calls(api) == 0, "its cancel was asked for, so the queue dropped it"
    await rounds.run_round()
    assert (await calls(api), restored(api, "unleased")) == (1, 1)
    assert [one.call.id for one in await api.claim()] == [claimed.call.id]


async def test_a_call_that_ran_through_a_loss_and_is_given_back_comes_back(
    own: Settings, admin: Redis
) -> None:
    """The queue does not know it, so its worker's release finds nothing to put back."""
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        await stored(api, 3)
        await rounds.run_round()
        given_back, done, held = await api.claim()
        await admin.flushall()
        await rounds.run_round()
        assert await calls(api) == 0
        request = ClaimRequest(id=given_back.call.id, token=given_back.token)
        await api.store.release([request], give_back_attempt=True)
        await api.store.settle_dead([done.call.id])
        await rounds.run_round()
        assert [one.id for one in await api.queue.peek(9)] == [given_back.call.id]
        memory = (await api.store.look_at_turn(rounds._turn_name)).memory
        assert memory["adrift"] == [str(held.call.id)]
        assert sweeps(api) == {"start": 1, "loss": 1}


async def test_a_loss_in_the_middle_of_a_sweep_makes_it_begin_anew(
    own: Settings, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        entries = await stored(api, 11)
        push, pushes = api.queue.push, 0

        async def lose_all(page: Sequence[QueueEntry], generation: int | None = None) -> int:
            nonlocal pushes
            pushes += 1
            if pushes == 3:
                await admin.flushall()
            return await push(page, generation)

        monkeypatch.setattr(api.queue, "push", lose_all)
        with pytest.raises(QueueLostError):
            await rounds.run_round()
        assert await calls(api) == 0
        await rounds.run_round()
        assert [one.id for one in await api.queue.peek(20)] == [entry.id for entry in entries]


async def test_of_many_processes_one_has_the_turn(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ServedApi(settings) as api, ServedApi(settings) as other:
        await stored(api, 8)
        mine, others = rounds_of(api), rounds_of(other)
        others._interval_s = 7
        push, begun, go_on = api.queue.push, asyncio.Event(), asyncio.Event()

        async def wait_and_push(page: Sequence[QueueEntry], generation: int | None = None) -> int:
            begun.set()
            await go_on.wait()
            return await push(page, generation)

        monkeypatch.setattr(api.queue, "push", wait_and_push)
        first = asyncio.create_task(mine.run_round())
        await begun.wait()
        assert await others.run_round() == reconciler.BUSY_S, "the queue is not whole: it looks again soon"
        assert await calls(other) == 0
        go_on.set()
        await first
        assert await calls(other) == 8
        assert await others.run_round() == 7
        assert (sweeps(api), sweeps(other)) == ({"start": 1}, {})


async def test_new_calls_are_for_the_data_that_was_whole_until_the_new_one_is(
    own: Settings, admin: Redis
) -> None:
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        whole = await api.queue.generation()
        await admin.flushall()
        rounds = rounds_of(api)  # a process that starts now
        async with api.store.take_turn(rounds._turn_name):
            assert await rounds.run_round() == reconciler.BUSY_S
            assert rounds._life.generation == whole
        await rounds.run_round()
        assert rounds._life.generation == await api.queue.generation() != whole


async def test_two_at_once_harm_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is cut off from Postgres in the middle of its work, the second takes over, then the first goes on."""
    async with ServedApi(settings) as api, ServedApi(settings) as other:
        entries = await stored(api, 11)
        mine, others = rounds_of(api), rounds_of(other)
        push, begun, go_on, pages = api.queue.push, asyncio.Event(), asyncio.Event(), 0

        async def wait_and_push(page: Sequence[QueueEntry], generation: int | None = None) -> int:
            nonlocal pages
            pages += 1
            begun.set()
            await go_on.wait()
            return await push(page, generation)

        monkeypatch.setattr(api.queue, "push", wait_and_push)
        first = asyncio.create_task(mine.run_round())
        await begun.wait()
        await other.store.get_database().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        while not sweeps(other):
            await others.run_round()
        (taken,) = (await other.queue.reserve(replace(ROOMY, slots=1), new_id())).reservations
        await other.queue.ack([taken])
        await other.store.settle_dead([taken.id])
        late = await stored(api, 1)
        await others.run_round()
        memory = (await other.store.look_at_turn(mine._turn_name)).memory
        go_on.set()
        with pytest.raises(StoreUnavailableError):
            await first
        assert pages == 1, "it finds out before the next page"
        assert (await other.store.look_at_turn(mine._turn_name)).memory == memory
        assert [one.id for one in await api.queue.peek(20)] == [entry.id for entry in [*entries, *late]], (
            "the call that had ended is there again, and its claim finds that out"
        )
        claimed = await api.claim()
        assert [one.call.id for one in claimed] == [entry.id for entry in [*entries[1:], *late]]


async def test_a_call_is_claimable_whatever_token_it_had_before_the_loss(own: Settings, admin: Redis) -> None:
    """A Redis whose clock is behind the one that gave the tokens before; here by a century."""
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        (entry,) = await stored(api, 1)
        request = ClaimRequest(id=entry.id, token=2**52)
        assert await api.store.claim([request], new_id(), 5)
        await api.store.release([request], give_back_attempt=True)
        await admin.flushall()
        await rounds.run_round()
        assert [one.call.id for one in await api.claim()] == [entry.id]


async def test_a_rebuilt_queue_is_paused_before_it_has_a_call(
    own: Settings, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ServedApi(own) as api:
        rounds = rounds_of(api)
        await rounds.run_round()
        assert (await api.post("/v1/queue/pause", {})).status == 200
        await stored(api, 3)
        await admin.flushall()
        push, was_paused = api.queue.push, []

        async def watched(entries: Sequence[QueueEntry], generation: int | None = None) -> int:
            was_paused.append((await api.queue.depth()).is_paused)
            return await push(entries, generation)

        monkeypatch.setattr(api.queue, "push", watched)
        await rounds.run_round()
        assert was_paused == [True]
        assert await api.claim() == []
        assert await calls(api) == 3
