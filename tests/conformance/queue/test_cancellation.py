"""A task cancelled at any of its suspension points loses no call and leaves connections that work."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from common.models import QueueEntry, new_id
from common.queue.base import Acked, Extension, Lane, Reservation
from common.queue.redis import RedisQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved

CALLS = 3
TURNS_MAX = 60
HOLDER = new_id()


@types.coroutine
def cancelled_at(turn: int, operation: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run *operation*; its task is cancelled as it suspends for the time number *turn*, counted from 0."""
    advance: Callable[[Any], Any] = operation.send
    value: Any = None
    while True:
        try:
            awaited = advance(value)
        except StopIteration as end:
            return end.value
        task = asyncio.current_task()
        if turn == 0 and task is not None:
            task.cancel()
        turn -= 1
        try:
            advance, value = operation.send, (yield awaited)
        except BaseException as error:  # noqa: BLE001 - handed on to the operation, whatever it is
            advance, value = operation.throw, error


async def run_cancelled_at(turn: int, operation: Coroutine[Any, Any, Any]) -> bool:
    """Whether it was cancelled; False: it ended before that turn."""

    async def run() -> None:
        await cancelled_at(turn, operation)

    task = asyncio.create_task(run())
    async with asyncio.timeout(10):
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()
    return task.cancelled()


class Scene:
    """What one operation finds: pushed calls, and reservations of them unless the operation makes them."""

    def __init__(self, queue: RedisQueue, calls: list[QueueEntry], held: list[Reservation]) -> None:
        self.queue = queue
        self.calls = calls
        self.held = held


Operate = Callable[[Scene], Coroutine[Any, Any, Any]]
Check = Callable[[Scene], Awaitable[None]]


async def pushed_again_all_are_there(scene: Scene) -> None:
    new = await scene.queue.push(scene.calls)
    assert new in {0, CALLS}, "all of them or none"
    assert [each.id for each in await scene.queue.peek(9)] == [call.id for call in scene.calls]


async def released_again_all_are_there(scene: Scene) -> None:
    assert await scene.queue.release_incarnation(HOLDER) in {0, CALLS}
    assert [each.id for each in await scene.queue.peek(9)] == [call.id for call in scene.calls]


async def acked_again_none_is_there(scene: Scene) -> None:
    assert await scene.queue.ack(scene.held) in ([Acked.ACKED] * CALLS, [Acked.UNKNOWN] * CALLS)
    assert (await scene.queue.depth()).calls == 0


async def still_held(scene: Scene) -> None:
    assert await scene.queue.extend(scene.held) == [Extension.HELD] * CALLS


async def cancelled_again_all_know(scene: Scene) -> None:
    await scene.queue.cancel([call.id for call in scene.calls])
    assert await scene.queue.extend(scene.held) == [Extension.CANCEL_REQUESTED] * CALLS


async def reserved_all_are_there(scene: Scene) -> None:
    assert ids(await scene.queue.reserve(ROOMY, HOLDER)) == [call.id for call in scene.calls]


# What stands before: nothing, ready calls, or leased ones; the operation; what must hold after it.
OPERATIONS: dict[str, tuple[str, Operate, Check]] = {
    "push": ("nothing", lambda scene: scene.queue.push(scene.calls), pushed_again_all_are_there),
    "reserve": ("ready", lambda scene: scene.queue.reserve(ROOMY, HOLDER), released_again_all_are_there),
    "ack": ("leased", lambda scene: scene.queue.ack(scene.held), acked_again_none_is_there),
    "extend": ("leased", lambda scene: scene.queue.extend(scene.held), still_held),
    "release": ("leased", lambda scene: scene.queue.release(scene.held), released_again_all_are_there),
    "cancel": (
        "leased",
        lambda scene: scene.queue.cancel([call.id for call in scene.calls]),
        cancelled_again_all_know,
    ),
    "announce": (
        "nothing",
        lambda scene: scene.queue.announce([call.id for call in scene.calls]),
        pushed_again_all_are_there,
    ),
    "wait": ("ready", lambda scene: scene.queue.wait([Lane.ASYNC], 4), reserved_all_are_there),
    "wait in vain": (
        "nothing",
        lambda scene: scene.queue.wait([Lane.ASYNC], 0.01),
        pushed_again_all_are_there,
    ),
}


async def set_scene(queue: RedisQueue, before: str) -> Scene:
    calls = [entry(order_no) for order_no in range(CALLS)]
    held: list[Reservation] = []
    if before != "nothing":
        await queue.push(calls)
    if before == "leased":
        held = (await queue.reserve(ROOMY, HOLDER)).reservations
    return Scene(queue, calls, held)


async def clear(queue: RedisQueue) -> None:
    await queue.ack((await queue.reserve(ROOMY, HOLDER)).reservations)
    await queue.release_incarnation(HOLDER)
    await queue.ack((await queue.reserve(ROOMY, HOLDER)).reservations)
    assert (await queue.depth()).calls == 0


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "connecting"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_cancelled_at_every_suspension_point_nothing_is_lost(
    queue: RedisQueue, admin: Redis, name: str, connected: bool
) -> None:
    before, operate, check = OPERATIONS[name]
    turn = 0
    while True:
        scene = await set_scene(queue, before)
        if not connected:
            await queue._link.drop_idle()
            await admin.script_flush()
        was_cancelled = await run_cancelled_at(turn, operate(scene))
        for client in (queue._link.commands, queue._link.waits):
            assert not client.connection_pool._in_use_connections, f"turn {turn}: a connection is lost"
        await check(scene)
        assert is_conserved(await queue.depth())
        await clear(queue)
        if not was_cancelled:
            break
        turn += 1
        assert turn < TURNS_MAX
    assert turn >= (1 if connected else 3), "it was cancelled somewhere at all"


async def test_the_last_of_all_connections_survives_cancelled_waits(
    queue: RedisQueue, incarnation: UUID
) -> None:
    for turn in range(100):
        await run_cancelled_at(turn % 8, queue.wait([Lane.ASYNC], 0.01))
    call = entry(1)
    await queue.push([call])
    async with asyncio.timeout(3):
        await queue.wait([Lane.ASYNC], 3)
    assert ids(await queue.reserve(ROOMY, incarnation)) == [call.id]
