"""Idempotency keys: one call for each, whoever else brings the key; forgotten after a day, and with the app."""

import asyncio
from datetime import timedelta

import pytest

from common import errors
from common.models import App, Call, QueueEntry, new_id
from common.store.base import EarlierCall, IdempotencyKey, Submission
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import a_call, claim, settle, submit, until_blocked

DAY = timedelta(hours=24)


def keyed(key: str = "key", request: bytes = b"request", call: Call | None = None) -> Submission:
    return Submission(call=call or a_call(), key=IdempotencyKey(key=key, request_hash=request))


async def age(store: PostgresStore, by: timedelta, key: str = "%") -> None:
    """Let the keys have come earlier."""
    await store.get_database().execute(
        "UPDATE idempotency_keys SET created_at = created_at - $1::interval WHERE key LIKE $2", by, key
    )


async def count(store: PostgresStore, table: str) -> int:
    found: int = await store.get_database().fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
    return found


async def test_a_key_that_came_before_stores_nothing(store: PostgresStore, app: App) -> None:
    first, again, other = keyed(), keyed(), keyed(request=b"another")
    (entry,) = await store.submit_calls([first])
    assert isinstance(entry, QueueEntry)
    assert await store.submit_calls([again]) == [EarlierCall(id=first.call.id, is_same=True)]
    assert await store.submit_calls([other]) == [EarlierCall(id=first.call.id, is_same=False)]
    for table in ("calls", "call_inputs", "idempotency_keys"):
        assert await count(store, table) == 1, table


async def test_it_is_the_call_of_then_after_its_end(store: PostgresStore, app: App) -> None:
    first = keyed()
    await store.submit_calls([first])
    assert await claim(store, first.call, 1)
    assert await settle(store, first.call, 1)
    assert await store.submit_calls([keyed()]) == [EarlierCall(id=first.call.id, is_same=True)]


async def test_answers_follow_the_list_whatever_is_stored_of_it(store: PostgresStore, app: App) -> None:
    await store.submit_calls([early := keyed("early")])
    plain = [Submission(call=a_call()) for _ in range(3)]
    new = keyed("new")
    given = [plain[0], keyed("early"), new, plain[1], keyed("new"), keyed("new", b"another"), plain[2]]
    answers = await store.submit_calls(given)
    assert [answer.id for answer in answers] == [
        plain[0].call.id,
        early.call.id,
        new.call.id,
        plain[1].call.id,
        new.call.id,
        new.call.id,
        plain[2].call.id,
    ]
    entries = [answer for answer in answers if isinstance(answer, QueueEntry)]
    assert [entry.id for entry in entries] == [one.call.id for one in (plain[0], new, *plain[1:])]
    places = [entry.order_no for entry in entries]
    assert places == sorted(places)
    assert [answer.is_same for answer in answers if isinstance(answer, EarlierCall)] == [True, True, False]
    assert await count(store, "calls") == 5


async def test_keys_are_of_their_app_and_differ_in_case(store: PostgresStore, app: App) -> None:
    await store.insert_app(App(name="other"))
    given = [keyed("k"), keyed("K"), keyed("k", call=a_call(app_name="other"))]
    assert {type(answer) for answer in await store.submit_calls(given)} == {QueueEntry}


async def test_of_many_that_come_together_one_is_stored(store: PostgresStore, app: App) -> None:
    keys = [f"key-{number}" for number in range(20)]
    lists = [[keyed(key) for key in order] for order in (keys, keys[::-1], keys[7:] + keys[:7], keys) * 2]
    answers = await asyncio.gather(*(store.submit_calls(one) for one in lists))
    assert await count(store, "calls") == await count(store, "call_inputs") == len(keys)
    stored = [answer for one in answers for answer in one if isinstance(answer, QueueEntry)]
    assert len(stored) == len(keys)
    rows = await store.get_database().fetch("SELECT key, call_id FROM idempotency_keys")
    call_of = {row["key"]: row["call_id"] for row in rows}
    for given, answered in zip(lists, answers, strict=True):
        ids = [call_of[one.key.key] for one in given if one.key]
        assert [answer.id for answer in answered] == ids


async def test_who_comes_second_waits_for_the_first_to_commit(store: PostgresStore, app: App) -> None:
    first, call_id = keyed(), new_id()
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO idempotency_keys VALUES ('app', 'key', 'request', $1, now())", call_id
        )
        second = asyncio.create_task(store.submit_calls([first]))
        await until_blocked(store, 1)
    assert await second == [EarlierCall(id=call_id, is_same=True)]
    assert await count(store, "calls") == 0


async def test_who_comes_second_is_stored_if_the_first_is_not(store: PostgresStore, app: App) -> None:
    waiting = keyed()
    async with store.get_database().acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO idempotency_keys VALUES ('app', 'key', 'another', $1, now())", new_id()
        )
        second = asyncio.create_task(store.submit_calls([waiting]))
        await until_blocked(store, 1)
        await transaction.rollback()
    (entry,) = await second
    assert isinstance(entry, QueueEntry)


async def test_a_batch_that_fails_leaves_no_key(store: PostgresStore, app: App) -> None:
    taken = a_call()
    await submit(store, taken)
    for bad, error in (
        (Submission(call=taken), errors.CallsAlreadyExistError),
        (Submission(call=a_call(app_name="gone")), errors.AppsNotFoundError),
        (keyed("other", call=a_call(app_name="gone")), errors.AppsNotFoundError),
        (keyed("other", call=a_call(priority=3)), errors.InvalidPriorityError),
    ):
        with pytest.raises(error):
            await store.submit_calls([keyed(), bad])
        assert await count(store, "idempotency_keys") == 0
    assert isinstance((await store.submit_calls([keyed()]))[0], QueueEntry)


async def test_a_key_is_as_new_after_a_day(store: PostgresStore, app: App) -> None:
    await store.submit_calls([first := keyed()])
    await age(store, DAY - timedelta(minutes=1))
    assert await store.submit_calls([keyed()]) == [EarlierCall(id=first.call.id, is_same=True)]
    await age(store, timedelta(minutes=1))
    second, twin = keyed(request=b"another"), keyed(request=b"another")
    stored, again = await store.submit_calls([second, twin])
    assert isinstance(stored, QueueEntry)
    assert again == EarlierCall(id=second.call.id, is_same=True)
    assert await store.submit_calls([keyed()]) == [EarlierCall(id=second.call.id, is_same=False)]
    assert await count(store, "calls") == 2


async def test_an_old_key_is_replaced_once_by_those_that_come_together(
    store: PostgresStore, app: App
) -> None:
    await store.submit_calls([keyed()])
    await age(store, DAY)
    answers = await asyncio.gather(*(store.submit_calls([keyed()]) for _ in range(6)))
    assert len([answer for (answer,) in answers if isinstance(answer, QueueEntry)]) == 1
    assert len({answer.id for (answer,) in answers}) == 1
    assert await count(store, "calls") == 2


async def test_old_keys_are_pruned_a_batch_at_a_time(store: PostgresStore, app: App) -> None:
    await store.submit_calls([keyed(f"old-{number}") for number in range(5)])
    await age(store, DAY)
    await age(store, timedelta(hours=1), "old-3")
    await store.submit_calls([keyed("new")])
    assert await store.prune_idempotency_keys(1) == 1
    keys = {row["key"] for row in await store.get_database().fetch("SELECT key FROM idempotency_keys")}
    assert keys == {"old-0", "old-1", "old-2", "old-4", "new"}
    assert [await store.prune_idempotency_keys(3) for _ in range(3)] == [3, 1, 0]
    assert await count(store, "idempotency_keys") == 1
    assert await count(store, "calls") == 6


async def test_pruning_passes_over_a_key_that_is_being_replaced(store: PostgresStore, app: App) -> None:
    await store.submit_calls([keyed("a"), keyed("b")])
    await age(store, DAY)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("UPDATE idempotency_keys SET created_at = now() WHERE key = 'a'")
        assert await store.prune_idempotency_keys(10) == 1
    assert await store.prune_idempotency_keys(10) == 0
    assert await count(store, "idempotency_keys") == 1


async def test_removing_an_app_takes_its_keys_along(store: PostgresStore, app: App) -> None:
    await store.insert_app(App(name="other"))
    await store.submit_calls([keyed(), keyed(call=a_call(app_name="other"))])
    await store.remove_app("app")
    assert await count(store, "idempotency_keys") == 1
    await store.insert_app(app)
    assert isinstance((await store.submit_calls([keyed(request=b"another")]))[0], QueueEntry)


async def test_removals_leave_neither_calls_nor_keys_of_what_was_being_stored(
    store: PostgresStore, app: App
) -> None:
    for _ in range(5):
        answers = await asyncio.gather(
            *(store.submit_calls([keyed(f"{number}"), keyed("same")]) for number in range(8)),
            store.remove_app("app"),
            *(store.submit_calls([keyed("same"), keyed(f"{number}")]) for number in range(8)),
            return_exceptions=True,
        )
        failures = {type(answer) for answer in answers if isinstance(answer, Exception)}
        assert failures <= {errors.AppsNotFoundError, errors.AppsBeingRemovedError}
        assert await count(store, "calls") == await count(store, "idempotency_keys") == 0
        await store.insert_app(app)
