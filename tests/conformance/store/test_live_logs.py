"""Logs of running calls: written piece by piece by whoever holds the call, read piece by piece by anybody."""

import asyncio

import pytest

from common import errors
from common.models import Call, CallStatus, LogMarks, new_id
from common.store.base import ClaimRequest, LogChunk, LogPart
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import (
    EVERY_BYTE,
    a_call,
    an_outcome,
    claim,
    settle,
    submit,
    until_blocked,
)

MARKS = ((0, 1_700_000_000_000),)


async def a_running_call(store: PostgresStore) -> Call:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    return call


async def extend(
    store: PostgresStore, call: Call, token: int, first: int, chunk: bytes, marks: LogMarks = MARKS
) -> bool:
    held = await store.extend_logs([LogChunk(id=call.id, token=token, first=first, chunk=chunk, marks=marks)])
    assert held <= {call.id}
    return bool(held)


async def part(store: PostgresStore, call: Call, first: int = 0, max_bytes: int = 1000) -> LogPart:
    return await store.get_log_part("app", call.id, first, max_bytes)


async def test_a_log_grows_chunk_by_chunk_while_its_call_runs(store: PostgresStore) -> None:
    call = await a_running_call(store)
    assert await part(store, call) == LogPart(chunk=b"", begun_at_ms=None, is_final=False)
    assert await extend(store, call, 1, 0, EVERY_BYTE)
    assert await extend(store, call, 1, 256, b"more", marks := ((0, 7), (200, 8)))
    assert await part(store, call) == LogPart(chunk=EVERY_BYTE + b"more", begun_at_ms=7, is_final=False)
    assert await store.get_log("app", call.id) == EVERY_BYTE + b"more"
    assert await store.get_log_marks("app", call.id) == marks


async def test_a_log_is_read_in_parts(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, EVERY_BYTE)
    assert (await part(store, call, 0, 10)).chunk == EVERY_BYTE[:10]
    assert (await part(store, call, 250, 10)).chunk == EVERY_BYTE[250:]
    assert (await part(store, call, 256, 10)).chunk == b""
    assert (await part(store, call, 999, 10)).chunk == b""


async def test_the_same_chunk_again_changes_nothing(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"one ")
    for _ in range(2):
        assert await extend(store, call, 1, 4, b"two ")
    assert (await part(store, call)).chunk == b"one two "


async def test_another_attempt_begins_its_log_anew(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"first attempt, long", ((0, 1),))
    assert await claim(store, call, 2) is not None
    assert (await part(store, call)).chunk == b"first attempt, long", "until there is another one"
    assert await extend(store, call, 2, 0, b"second", ((0, 2),))
    assert await part(store, call) == LogPart(chunk=b"second", begun_at_ms=2, is_final=False)


@pytest.mark.parametrize("first", [0, 4])
async def test_a_superseded_worker_writes_nothing(store: PostgresStore, first: int) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"mine")
    await claim(store, call, 2)
    assert not await extend(store, call, 1, first, b"stale")
    assert (await part(store, call)).chunk == b"mine"


async def test_nothing_is_written_after_the_end_or_after_a_release(store: PostgresStore) -> None:
    ended, released = await a_running_call(store), await a_running_call(store)
    await settle(store, ended, 1, an_outcome(log=b"all of it"))
    await store.release([ClaimRequest(id=released.id, token=1)], give_back_attempt=True)
    for call in (ended, released):
        assert not await extend(store, call, 1, 0, b"late")
    assert (await part(store, ended)).chunk == b"all of it"
    assert (await part(store, released)).chunk == b""


async def test_the_end_overwrites_what_was_written_before(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"the beg")
    await settle(store, call, 1, an_outcome(log=b"the beginning, and the end", log_marks=MARKS))
    assert await part(store, call, 4) == LogPart(
        chunk=b"beginning, and the end", begun_at_ms=MARKS[0][1], is_final=True
    )


async def test_a_call_that_was_given_up_keeps_the_log_of_its_last_attempt(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"last words")
    await store.settle_dead([call.id])
    assert (await part(store, call)).is_final
    assert await store.get_log("app", call.id) == b"last words"


async def test_many_calls_share_one_write_also_two_runs_of_one(store: PostgresStore) -> None:
    calls = [await a_running_call(store) for _ in range(5)]
    await claim(store, calls[0], 2)
    chunks = [
        LogChunk(id=call.id, token=token, first=0, chunk=b"%d" % token, marks=MARKS)
        for call in calls
        for token in (1, 2)
    ]
    assert await store.extend_logs(chunks) == {call.id for call in calls}
    assert [(await part(store, call)).chunk for call in calls] == [b"2", *[b"1"] * 4]
    assert await store.extend_logs([]) == set()


async def test_a_claim_that_meets_a_write_comes_before_or_after_it(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"mine")
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("UPDATE calls SET token = 2 WHERE id = $1", call.id)
        writing = asyncio.create_task(extend(store, call, 1, 4, b"stale"))
        await until_blocked(store, 1)
    assert not await writing
    assert (await part(store, call)).chunk == b"mine"


async def test_a_write_keeps_a_claim_waiting(store: PostgresStore) -> None:
    call = await a_running_call(store)
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM calls WHERE id = $1 FOR SHARE", call.id)
        assert await extend(store, call, 1, 0, b"mine"), "it shares its lock"
        claiming = asyncio.create_task(claim(store, call, 2))
        await until_blocked(store, 1)
    claimed = await claiming
    assert claimed is not None
    assert claimed.call.status is CallStatus.RUNNING


async def test_a_part_is_found_only_under_its_app_and_call(store: PostgresStore) -> None:
    call = await a_running_call(store)
    await extend(store, call, 1, 0, b"x")
    for app_name, call_id in (("other", call.id), ("app", new_id()), ("app\0", call.id)):
        with pytest.raises(errors.CallNotFoundError):
            await store.get_log_part(app_name, call_id, 0, 10)
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.get_log_part("", call.id, 0, 10)
