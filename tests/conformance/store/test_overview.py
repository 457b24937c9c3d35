"""Who runs what, and how many calls there are."""

from datetime import timedelta

from msgspec.structs import replace

from common.models import App, CallStatus, new_id
from common.store.base import ClaimRequest, FinishedCall
from common.store.postgres import PostgresStore
from common.store.steering import CallCounts, Counts
from tests.conformance.store.samples import NOW, a_call, an_outcome, claim, settle, submit


async def test_workers_are_shown_with_what_they_run_live_ones_first(store: PostgresStore) -> None:
    assert await store.get_workers(10, 10) == []
    dead, old, young = new_id(), new_id(), new_id()
    for incarnation, host in ((old, "there"), (young, "here"), (dead, "nowhere")):
        await store.register_worker(incarnation, host, 4, 2048)
    async with store.get_database().acquire() as connection:
        await connection.execute(
            "UPDATE workers SET heartbeat_at = now() - interval '1 h' WHERE incarnation = $1", dead
        )
    calls = [a_call(), a_call(app_name="other", path="/there"), a_call(), a_call()]
    await submit(store, *calls)
    for call in calls[:2]:
        await claim(store, call, 1, young)
    await claim(store, calls[2], 1, dead)
    await store.mark_started(calls[0].id, 1, NOW)
    shown = await store.get_workers(10, 10)
    assert [(one.incarnation, one.host, one.state) for one in shown] == [
        (young, "here", "live"),
        (old, "there", "live"),
        (dead, "nowhere", "lost"),
    ]
    assert [[call.id for call in one.running] for one in shown] == [
        [call.id for call in calls[:2]],
        [],
        [calls[2].id],
    ]
    first, second = shown[0].running
    assert (first.app_name, first.path, first.attempt, first.started_at) == ("app", "/hello", 1, NOW)
    assert (second.app_name, second.path, second.started_at) == ("other", "/there", None)
    assert first.claimed_at is not None
    assert (shown[0].slots, shown[0].memory_mb) == (4, 2048)
    assert shown[0].heartbeat_at - shown[2].heartbeat_at > timedelta(minutes=59)


async def test_what_a_worker_runs_is_shown_within_a_bound_oldest_first(store: PostgresStore) -> None:
    busy, idle = new_id(), new_id()
    for incarnation in (busy, idle):
        await store.register_worker(incarnation, "host", 20, 2048)
    calls = [a_call() for _ in range(5)]
    await submit(store, *calls)
    for call in calls[::-1]:
        await claim(store, call, 1, busy)
    shown = {one.incarnation: one.running for one in await store.get_workers(10, 3)}
    assert [call.id for call in shown[busy]] == [call.id for call in calls[:1:-1]]
    assert len(await store.get_workers(1, 3)) == 1


async def test_calls_that_ended_are_run_by_nobody(store: PostgresStore) -> None:
    incarnation = new_id()
    await store.register_worker(incarnation, "host", 20, 2048)
    done, back = a_call(), a_call()
    await submit(store, done, back)
    for call in (done, back):
        await claim(store, call, 1, incarnation)
    await settle(store, done, 1)
    await store.release([ClaimRequest(id=back.id, token=1)], give_back_attempt=False)
    assert [one.running for one in await store.get_workers(10, 10)] == [()]


async def test_calls_are_counted_by_state_and_by_path_of_an_app(store: PostgresStore) -> None:
    assert await store.count_calls(10) == CallCounts(all=Counts(), by_path={})
    queued, delayed, running, done, failed, dead, cancelled = [
        a_call(delay=60 if number == 1 else 0) for number in range(7)
    ]
    elsewhere, other = a_call(path="/"), a_call(app_name="other")
    await submit(store, queued, delayed, running, done, failed, dead, cancelled, elsewhere, other)
    for call in (running, done, failed):
        await claim(store, call, 1)
    await settle(store, done, 1)
    await settle(store, failed, 1, an_outcome(CallStatus.ERROR))
    await store.settle_dead([dead.id])
    await store.cancel("app", cancelled.id)
    sync = replace(a_call(app_name="other"), type="sync")
    await store.record_finished([FinishedCall(call=sync, outcome=an_outcome())])
    hello = Counts(queued=2, running=1, succeeded=1, failed=2, cancelled=1)
    everything = Counts(queued=4, running=1, succeeded=2, failed=2, cancelled=1)
    by_path = {
        ("app", "/"): Counts(queued=1),
        ("app", "/hello"): hello,
        ("other", "/hello"): Counts(queued=1, succeeded=1),
    }
    assert await store.count_calls(10) == CallCounts(all=everything, by_path=by_path)
    assert await store.count_calls(1) == CallCounts(all=everything, by_path={("app", "/"): Counts(queued=1)})


async def test_a_removed_app_is_not_counted(store: PostgresStore) -> None:
    await submit(store, a_call())
    await store.insert_app(App(name="other"))
    await store.remove_app("app")
    assert await store.count_calls(10) == CallCounts(all=Counts(), by_path={})


async def test_a_worker_that_drains_or_misses_heartbeats_is_not_live(store: PostgresStore) -> None:
    worker = new_id()
    await store.register_worker(worker, "here", 1, 1)

    async def state() -> str:
        (shown,) = await store.get_workers(10, 10)
        return shown.state

    assert await state() == "live"
    await store.heartbeat(worker, is_draining=True)
    assert await state() == "draining"
    assert await store.live_incarnations() == {worker}  # what it runs is its own to the end
    for silent_s, expected in ((11, "late"), (21, "lost")):
        async with store.get_database().acquire() as connection:
            await connection.execute(
                "UPDATE workers SET heartbeat_at = now() - make_interval(secs => $1)", float(silent_s)
            )
        assert await state() == expected
