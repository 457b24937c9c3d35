import asyncio

from common.models import new_id
from common.settings import Settings
from common.store.machine import MemoryUse
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import a_call, claim, submit


async def test_an_incarnation_lives_from_its_registration_to_its_removal(store: PostgresStore) -> None:
    incarnation = new_id()
    assert await store.live_incarnations() == set()
    await store.register_worker(incarnation, "host", 4, 2048)
    assert await store.live_incarnations() == {incarnation}
    await store.remove_worker(incarnation)
    await store.remove_worker(incarnation)
    assert await store.live_incarnations() == set()


async def test_an_incarnation_without_a_fresh_heartbeat_is_not_live(store: PostgresStore) -> None:
    stale, fresh = new_id(), new_id()
    for incarnation in (stale, fresh):
        await store.register_worker(incarnation, "host", 4, 2048)
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE workers SET heartbeat_at = now() - interval '19 s'")
        assert await store.live_incarnations() == {stale, fresh}
        await connection.execute("UPDATE workers SET heartbeat_at = now() - interval '21 s'")
    assert await store.heartbeat(fresh)
    assert await store.live_incarnations() == {fresh}
    await store.register_worker(stale, "host", 4, 2048)
    assert await store.live_incarnations() == {stale, fresh}


async def test_a_heartbeat_of_an_unknown_incarnation_makes_none(store: PostgresStore) -> None:
    assert not await store.heartbeat(new_id())
    assert await store.live_incarnations() == set()


async def test_incarnations_that_died_long_ago_are_forgotten_unless_a_running_call_names_them(
    store: PostgresStore,
) -> None:
    dead, named, lately = new_id(), new_id(), new_id()
    for incarnation in (dead, named, lately):
        await store.register_worker(incarnation, "host", 4, 2048)
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1, named)
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE workers SET heartbeat_at = now() - interval '25 h'")
        await connection.execute(
            "UPDATE workers SET heartbeat_at = now() - interval '23 h' WHERE incarnation = $1", lately
        )
        await store.prune_workers()
        await store.prune_workers()
        kept = {row["incarnation"] for row in await connection.fetch("SELECT incarnation FROM workers")}
    assert kept == {named, lately}


async def test_how_stale_is_too_stale_is_a_setting(store: PostgresStore, database_url: str) -> None:
    incarnation = new_id()
    await store.register_worker(incarnation, "host", 4, 2048)
    async with store.get_database().acquire() as connection:
        await connection.execute("UPDATE workers SET heartbeat_at = now() - interval '2 s'")
    hasty = await PostgresStore.open(Settings(database_url=database_url, heartbeat_stale_s=1))
    try:
        assert await hasty.live_incarnations() == set()
    finally:
        await hasty.aclose()
    assert await store.live_incarnations() == {incarnation}


async def test_the_identity_of_the_database_never_changes(store: PostgresStore, database_url: str) -> None:
    identities = set(await asyncio.gather(*(store.installation_id() for _ in range(6))))
    again = await PostgresStore.open(Settings(database_url=database_url))
    try:
        identities.add(await again.installation_id())
    finally:
        await again.aclose()
    assert len(identities) == 1


# -- the memory of a machine -----------------------------------------------------------------------------------------


async def test_workers_that_start_together_share_their_machine_and_no_other(store: PostgresStore) -> None:
    ids, elsewhere, unknown = [new_id() for _ in range(4)], new_id(), new_id()
    for incarnation in ids:
        await store.register_worker(incarnation, "host", 1, 0, machine="one")
    await store.register_worker(elsewhere, "host", 1, 0, machine="two")
    use = MemoryUse(machine_mb=1000, has_mb=0, shares=True)
    parts = await asyncio.gather(*(store.share_memory(incarnation, use) for incarnation in ids))
    assert sum(part.has_mb for part in parts if part) == 1000
    assert sorted(worker.memory_mb for worker in await store.get_workers(9, 9)) == [0, 250, 250, 250, 250]
    alone = await store.share_memory(elsewhere, use)
    assert alone is not None
    assert alone.has_mb == 1000
    assert await store.share_memory(unknown, use) is None


async def test_what_a_dead_or_removed_worker_had_is_free(store: PostgresStore) -> None:
    removed, stale, left = new_id(), new_id(), new_id()
    use = MemoryUse(machine_mb=900, has_mb=0, shares=True)
    for incarnation in (removed, stale, left):
        await store.register_worker(incarnation, "host", 1, 0, machine="one")
    for incarnation in (removed, stale, left):
        part = await store.share_memory(incarnation, use)
        assert part is not None
        assert part.has_mb == 300
    await store.remove_worker(removed)
    async with store.get_database().acquire() as connection:
        query = "UPDATE workers SET heartbeat_at = now() - interval '21 s' WHERE incarnation = $1"
        await connection.execute(query, stale)
    part = await store.share_memory(left, use)
    assert part is not None
    assert part.has_mb == 900
