"""Channels that carry ids of calls: cancels as they are asked for, and transitions as they were committed.

A message is some ids, one after the other. One that is lost loses nothing: what it says stands in the record, too.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from redis.asyncio.client import PubSub

from common.queue.codec import decode_ids
from common.queue.connection import REPLY_S, UNREACHABLE, Reconnects, RedisLink

QUIET_S = 5.0  # after this long without a message the connection is asked whether it lives


async def listen(link: RedisLink, channel: str) -> AsyncIterator[UUID]:
    """Yield ids for ever, on a connection of its own, which is replaced when it is lost or silent. Raises nothing."""
    reconnects = Reconnects()
    while True:
        pubsub = link.waits.pubsub()
        try:
            async with asyncio.timeout(REPLY_S):
                await pubsub.subscribe(channel)
            while True:
                for call_id in await _next(pubsub):
                    yield call_id
                reconnects.reset()
        except UNREACHABLE:
            await link.drop_idle()
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
        await reconnects.pause()


async def _next(pubsub: PubSub) -> list[UUID]:
    """The ids of the next message, none for a sign of life. Raises TimeoutError for a connection that gives none."""
    message = await pubsub.get_message(timeout=QUIET_S)
    if message is None:
        async with asyncio.timeout(REPLY_S):
            await pubsub.ping()
            message = await pubsub.get_message(timeout=None)
    return decode_ids(message["data"]) if message is not None and message["type"] == "message" else []
