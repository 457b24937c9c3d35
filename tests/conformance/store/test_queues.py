from common.store.postgres import PostgresStore


async def test_a_pause_is_recorded_for_each_queue_by_itself(store: PostgresStore) -> None:
    assert not await store.is_queue_paused("one")
    for _ in range(2):
        await store.pause_queue("one")
        assert await store.is_queue_paused("one")
        assert not await store.is_queue_paused("another")
    for _ in range(2):
        await store.resume_queue("one")
        assert not await store.is_queue_paused("one")
