"""Listens for the replies of sync calls: somebody waits for each, so one that is there is yielded after one round trip.

A listener is alone on its list. One that ends in the midst may take replies with it that nobody sees.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio.connection import AbstractConnection

from common.queue.connection import REPLY_S, UNREACHABLE, Reconnects, RedisLink

BLOCK_S = 5
AT_ONCE = 32  # replies that come with the first: as many may be lost with a connection


async def listen(link: RedisLink, key: str) -> AsyncIterator[bytes]:
    """Yield replies for ever, on a connection of its own, replaced when it is lost or silent. Raises nothing."""
    reconnects = Reconnects()
    while True:
        try:
            async with link.own_connection() as connection:
                # Sent together: Redis waits for the first, then adds at once what else is there.
                asked = connection.pack_commands([("BLPOP", key, BLOCK_S), ("LPOP", key, AT_ONCE)])
                while True:
                    async with asyncio.timeout(REPLY_S):
                        await connection.send_packed_command(asked)
                    popped = await _answer(connection, BLOCK_S + REPLY_S)
                    if popped:
                        yield popped[1]
                    for reply in await _answer(connection, REPLY_S) or ():
                        yield reply
                    reconnects.reset()
        except UNREACHABLE:
            await link.drop_idle()
        await reconnects.pause()


async def _answer(connection: AbstractConnection, timeout_s: float) -> Any:
    async with asyncio.timeout(timeout_s):
        return await connection.read_response()
