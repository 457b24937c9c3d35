"""A log is followed: what is there first, then what comes, until the call is final and all of it was sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
import pytest

from api.handlers.follow import LOG_BEGINS_ANEW, LOG_PART_BYTES
from common.models import new_id
from common.store.base import Claimed, ClaimRequest, LogChunk
from tests.integration.api.served import ServedApi
from tests.integration.api.test_follow import SOON_S, Followed, a_call, reading

FIRST, SECOND = 1_700_000_000_000, 1_700_000_060_000


@pytest.fixture
async def call(api: ServedApi) -> Followed:
    return await a_call(api)


@asynccontextmanager
async def following_log(call: Followed) -> AsyncIterator[aiohttp.ClientResponse]:
    async with reading(call.api, f"{call.path}/log?follow=1") as reply:
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "Content-Length" not in reply.headers
        yield reply


async def reads(reply: aiohttp.ClientResponse, expected: bytes) -> None:
    async with asyncio.timeout(SOON_S):
        assert await reply.content.readexactly(len(expected)) == expected


async def ends(reply: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(SOON_S):
        return await reply.content.read()


async def write(call: Followed, claimed: Claimed, first: int, chunk: bytes, begun_at_ms: int = FIRST) -> None:
    """As a worker does once a second."""
    more = LogChunk(
        id=claimed.call.id, token=claimed.token, first=first, chunk=chunk, marks=((0, begun_at_ms),)
    )
    assert await call.api.store.extend_logs([more]) == {claimed.call.id}
    await call.announce()


async def claim_again(call: Followed, claimed: Claimed) -> Claimed:
    request = ClaimRequest(id=UUID(call.id), token=claimed.token + 1)
    (again,) = await call.api.store.claim([request], new_id(), 5)
    await call.announce()
    return again


async def test_a_log_comes_as_it_is_written_and_ends_with_its_call(call: Followed) -> None:
    async with following_log(call) as reply:  # it waits for its turn with its call
        claimed = await call.claim()
        await write(call, claimed, 0, b"first\n")
        await reads(reply, b"first\n")
        await write(call, claimed, 6, b"\xff\x00second")
        await reads(reply, b"\xff\x00second")
        assert (await call.api.get(f"{call.path}/log")).status == 404, "without follow as ever"
        await call.settle(claimed, log=b"first\n\xff\x00second\nlast", log_marks=((0, FIRST),))
        assert await ends(reply) == b"\nlast"
    await call.has_followers(0)


async def test_who_comes_later_gets_what_there_is_first(call: Followed) -> None:
    claimed = await call.claim()
    await write(call, claimed, 0, b"first\n")
    async with following_log(call) as reply:
        await reads(reply, b"first\n")
        await write(call, claimed, 6, b"second\n")
        await reads(reply, b"second\n")


async def test_another_attempt_is_said_and_sent_from_its_beginning(call: Followed) -> None:
    first = await call.claim()
    async with following_log(call) as reply:
        await write(call, first, 0, b"one")
        await reads(reply, b"one")
        second = await claim_again(call, first)
        # Longer than what was there: nothing but its beginning tells that it is another log.
        await write(call, second, 0, b"one more time", SECOND)
        await reads(reply, LOG_BEGINS_ANEW + b"one more time")
        await call.settle(second, log=b"one more time, done", log_marks=((0, SECOND),))
        assert await ends(reply) == b", done"


async def test_an_attempt_that_writes_nothing_ends_the_stream_too(call: Followed) -> None:
    first = await call.claim()
    async with following_log(call) as reply:
        await write(call, first, 0, b"one")
        await reads(reply, b"one")
        second = await claim_again(call, first)
        await call.settle(second, log=b"", log_marks=())
        assert await ends(reply) == LOG_BEGINS_ANEW


@pytest.mark.parametrize("size", [0, 1, LOG_PART_BYTES, 4 * LOG_PART_BYTES + 7])
async def test_the_log_of_a_final_call_is_sent_whole(call: Followed, size: int) -> None:
    log = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await call.settle(await call.claim(), log=log, log_marks=((0, FIRST),) if log else ())
    answer = await call.api.get(f"{call.path}/log?follow=1", headers={"Accept": "application/json"})
    assert (answer.status, answer.body) == (200, log)


async def test_a_call_that_was_given_up_leaves_the_log_that_it_had(call: Followed) -> None:
    claimed = await call.claim()
    async with following_log(call) as reply:
        await write(call, claimed, 0, b"last words")
        await reads(reply, b"last words")
        await call.api.store.settle_dead([claimed.call.id])
        await call.announce()
        assert await ends(reply) == b""
    answer = await call.api.get(f"{call.path}/log", headers={"Accept": "text/plain"})
    assert answer.body == b"last words"


async def test_times_can_not_be_followed(call: Followed) -> None:
    answer = await call.api.get(f"{call.path}/log?follow=1&timestamps=1")
    assert (answer.status, answer.json["error"]["fields"]) == (400, "timestamps")
    assert answer.json["error"]["code"] == "follow_invalid"


async def test_http_1_0_gets_the_log_until_the_connection_ends(call: Followed) -> None:
    await call.settle(await call.claim(), log=b"all of it")
    reader, writer = await asyncio.open_connection("127.0.0.1", call.api.port)
    writer.write(f"GET {call.path}/log?follow=1 HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(SOON_S):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b"chunked" not in head
    assert body == b"all of it"
