from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from common.errors import StoreUnavailableError
from common.settings import Settings
from common.store import turns
from common.store.postgres import PostgresStore
from tests.polling import eventually


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[PostgresStore]:
    """The store of another process."""
    store = await PostgresStore.open(Settings(database_url=database_url))
    yield store
    await store.aclose()


async def cut_off_who_has_the_turn(store: PostgresStore) -> None:
    ended = await store.get_database().fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert len(ended) == 1


async def is_free(store: PostgresStore, name: str = "a") -> bool:
    async with store.take_turn(name) as turn:
        return turn is not None


async def test_a_turn_finds_what_the_last_one_left(store: PostgresStore, other: PostgresStore) -> None:
    state = await store.look_at_turn("a")
    assert (state.memory, state.due_in_s) == ({}, 0)
    async with store.take_turn("a") as turn:
        assert turn is not None
        assert turn.state.memory == {}
        await turn.end({"to": 7}, 30)
    for one in (store, other):
        state = await one.look_at_turn("a")
        assert state.memory == {"to": 7}
        assert 20 < state.due_in_s <= 30
        assert state.now_s > 1_700_000_000
    async with other.take_turn("a") as turn:
        assert turn is not None
        assert turn.state.memory == {"to": 7}
        await turn.end({"to": 8}, 0)
    state = await store.look_at_turn("a")
    assert state.memory == {"to": 8}
    assert state.due_in_s <= 0


async def test_one_process_at_a_time_has_a_turn(store: PostgresStore, other: PostgresStore) -> None:
    async with store.take_turn("a") as turn:
        assert turn is not None
        assert not await is_free(other)
        assert not await is_free(store)
        assert await is_free(other, "b")
        await turn.check()
    assert await is_free(other)


async def test_a_turn_that_failed_leaves_everything_as_it_was(store: PostgresStore) -> None:
    with suppress(LookupError):
        async with store.take_turn("a") as turn:
            assert turn is not None
            await turn.end({"to": 7}, 30)
            raise LookupError
    assert (await store.look_at_turn("a")).memory == {}
    assert await is_free(store)


async def test_whoever_loses_the_connection_loses_the_turn_and_can_t_record_it(
    store: PostgresStore, other: PostgresStore
) -> None:
    async def take_over() -> bool:
        async with other.take_turn("a") as turn:
            if turn is not None:
                await turn.end({"by": "other"}, 0)
            return turn is not None

    async def go_on_all_the_same() -> None:
        async with store.take_turn("a") as turn:
            assert turn is not None
            await cut_off_who_has_the_turn(other)
            await eventually(take_over)
            with pytest.raises(StoreUnavailableError):
                await turn.check()
            await turn.end({"by": "first"}, 0)

    with pytest.raises(StoreUnavailableError):
        await go_on_all_the_same()
    assert (await other.look_at_turn("a")).memory == {"by": "other"}


async def test_a_turn_that_is_cut_off_at_its_end_is_not_recorded(
    store: PostgresStore, other: PostgresStore
) -> None:
    async def end_too_late() -> None:
        async with store.take_turn("a") as turn:
            assert turn is not None
            await turn.end({"by": "first"}, 0)
            await cut_off_who_has_the_turn(other)

    with pytest.raises(StoreUnavailableError):
        await end_too_late()
    assert (await other.look_at_turn("a")).memory == {}


async def test_whoever_is_silent_loses_the_turn(
    store: PostgresStore, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs, or whose machine is gone and whose connection nobody closes."""
    monkeypatch.setattr(turns, "IDLE_S", 0.2)

    async def be_silent() -> None:
        async with store.take_turn("a") as turn:
            assert turn is not None
            assert not await is_free(other)
            await eventually(lambda: is_free(other))
            await turn.check()

    with pytest.raises(StoreUnavailableError):
        await be_silent()
