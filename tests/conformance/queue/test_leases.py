"""Leases and their tokens: who may finish, keep or give back a call, and what becomes of those nobody finishes."""

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from common.errors import NotReservedError
from common.models import new_id
from common.queue.base import Acked, DeadCall, Extension, Reservation
from common.queue.redis import DELIVERIES_PER_ATTEMPT, RedisQueue
from tests.conformance.queue.conftest import OpenQueue
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved, slots
from tests.polling import eventually


async def reserve_one(queue: RedisQueue, incarnation: UUID) -> Reservation:
    [reservation] = (await queue.reserve(slots(1), incarnation)).reservations
    return reservation


async def restored(queue: RedisQueue, calls: int = 1) -> None:
    """Wait until *calls* leases expired and maintenance restored or buried them."""

    async def done() -> bool:
        await queue.maintain()
        depth = await queue.depth()
        return depth.leased == 0 and sum(depth.ready) + depth.dead == calls

    await eventually(done)


async def test_every_token_is_larger_than_those_before(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(order_no) for order_no in range(100)])
    tokens = []
    for _ in range(10):
        reserved = await queue.reserve(slots(10), incarnation)
        tokens += [reservation.token for reservation in reserved.reservations]
        await queue.release(reserved.reservations)
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 100


async def can_do_nothing(queue: RedisQueue, old: Reservation) -> bool:
    with pytest.raises(NotReservedError):
        await queue.delete(old)
    return (await queue.ack([old]), await queue.extend([old]), await queue.release([old])) == (
        [Acked.NOT_RESERVED],
        [Extension.LOST],
        [False],
    )


async def test_an_old_token_can_do_nothing(hasty_queue: RedisQueue, incarnation: UUID) -> None:
    await hasty_queue.push([entry(1)])
    old = await reserve_one(hasty_queue, incarnation)
    await restored(hasty_queue)
    assert await can_do_nothing(hasty_queue, old), "while the call is ready"
    new = await reserve_one(hasty_queue, new_id())
    assert await can_do_nothing(hasty_queue, old), "while another has it"
    assert await hasty_queue.ack([new]) == [Acked.ACKED]


async def test_a_released_token_can_do_nothing(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(1)])
    old = await reserve_one(queue, incarnation)
    await queue.release([old])
    assert await can_do_nothing(queue, old)


async def test_ack_forgets_the_call_and_says_what_it_found(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(1), entry(2)])
    first, second = (await queue.reserve(ROOMY, incarnation)).reservations
    forged = replace(second, token=second.token + 1)
    assert await queue.ack([first, forged]) == [Acked.ACKED, Acked.NOT_RESERVED]
    assert await queue.ack([first]) == [Acked.UNKNOWN]
    depth = await queue.depth()
    assert (depth.calls, depth.leased) == (1, 1)
    assert await queue.ack([]) == []


async def test_delete_acks_refuses_or_succeeds_on_the_unknown(queue: RedisQueue, incarnation: UUID) -> None:
    call = entry(1)
    await queue.push([call])
    guess = Reservation(id=call.id, token=0, deliveries=1, expires_at_ms=0)
    with pytest.raises(NotReservedError):
        await queue.delete(guess)
    await queue.delete(await reserve_one(queue, incarnation))
    assert (await queue.depth()).calls == 0
    await queue.delete(guess)


async def test_a_call_acked_may_be_pushed_again(queue: RedisQueue, incarnation: UUID) -> None:
    call = entry(1)
    await queue.push([call])
    await queue.delete(await reserve_one(queue, incarnation))
    assert await queue.push([call]) == 1


async def test_extend_keeps_a_lease_past_its_first_expiry(open_queue: OpenQueue, incarnation: UUID) -> None:
    hasty, patient = open_queue(lease_s=0.2), open_queue(lease_s=30)
    await hasty.push([entry(1)])
    reservation = await reserve_one(hasty, incarnation)
    assert await patient.extend([reservation]) == [Extension.HELD]
    assert await hasty.extend([reservation]) == [Extension.HELD], "a shorter lease shortens nothing"
    next_ms = await hasty.maintain()
    assert next_ms is not None
    assert 20_000 < next_ms <= 30_000


async def test_extend_tells_the_lost_from_the_unknown(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(1), entry(2), entry(3)])
    held, lost, unknown = (await queue.reserve(ROOMY, incarnation)).reservations
    await queue.release([lost])
    await queue.ack([unknown])
    assert await queue.extend([unknown, held, lost]) == [Extension.UNKNOWN, Extension.HELD, Extension.LOST]


async def test_a_release_gives_the_delivery_back(queue: RedisQueue, incarnation: UUID) -> None:
    await queue.push([entry(1)])
    for _ in range(12):
        reservation = await reserve_one(queue, incarnation)
        assert reservation.deliveries == 1
        await queue.release([reservation])


async def test_an_expired_delivery_counts(hasty_queue: RedisQueue, incarnation: UUID) -> None:
    await hasty_queue.push([entry(1)])
    for deliveries in (1, 2, 3):
        assert (await reserve_one(hasty_queue, incarnation)).deliveries == deliveries
        await restored(hasty_queue)


async def test_an_incarnation_is_released_in_one_step(queue: RedisQueue) -> None:
    calls = [entry(order_no) for order_no in range(1100)]
    await queue.push(calls)
    gone, alive = new_id(), new_id()
    for _ in range(2):
        await queue.reserve(slots(500), gone)
    kept = await queue.reserve(slots(50), alive)
    assert await queue.release_incarnation(gone) == 1000
    assert await queue.release_incarnation(gone) == 0
    depth = await queue.depth()
    assert (depth.ready, depth.leased) == ((1050, 0, 0), 50)
    again = await queue.reserve(slots(3), alive)
    assert ids(again) == [call.id for call in calls[:3]]
    assert [reservation.deliveries for reservation in again.reservations] == [2, 2, 2]
    assert await queue.extend(kept.reservations) == [Extension.HELD] * 50


@pytest.mark.parametrize("how", ["expiry", "incarnation"])
@pytest.mark.parametrize("max_attempts", [5, 12])
async def test_a_call_delivered_too_often_is_dead_until_it_is_buried(
    open_queue: OpenQueue, incarnation: UUID, how: str, max_attempts: int
) -> None:
    hasty_queue, poison = open_queue(lease_s=0.05, max_attempts=max_attempts), entry(1)
    await hasty_queue.push([poison])
    for _ in range(DELIVERIES_PER_ATTEMPT * max_attempts):
        assert await hasty_queue.dead(10) == []
        await reserve_one(hasty_queue, incarnation)
        if how == "incarnation":
            assert await hasty_queue.release_incarnation(incarnation) == 1
        else:
            await restored(hasty_queue)
    assert ids(await hasty_queue.reserve(ROOMY, incarnation)) == []
    assert await hasty_queue.dead(10) == [
        DeadCall(id=poison.id, deliveries=DELIVERIES_PER_ATTEMPT * max_attempts)
    ]
    depth = await hasty_queue.depth()
    assert (depth.dead, depth.calls) == (1, 1)
    assert await hasty_queue.push([poison]) == 0
    await hasty_queue.bury([poison.id, new_id()])
    assert (await hasty_queue.depth()).calls == 0


async def test_bury_leaves_the_living_alone(queue: RedisQueue, incarnation: UUID) -> None:
    leased, ready = entry(1), entry(2)
    await queue.push([leased, ready])
    await reserve_one(queue, incarnation)
    await queue.bury([leased.id, ready.id])
    depth = await queue.depth()
    assert (depth.ready, depth.leased, depth.calls) == ((1, 0, 0), 1, 2)
    assert is_conserved(depth)


async def test_a_cancelled_reserve_strands_nothing(open_queue: OpenQueue, incarnation: UUID) -> None:
    hasty, calls = open_queue(lease_s=0.05), [entry(order_no) for order_no in range(60)]
    await hasty.push(calls)
    seen: set[UUID] = set()
    for turns in range(30):
        attempt = asyncio.create_task(hasty.reserve(slots(2), incarnation))
        for _ in range(turns % 15):
            await asyncio.sleep(0)
        attempt.cancel()
        outcome = (await asyncio.gather(attempt, return_exceptions=True))[0]
        if not isinstance(outcome, BaseException):
            await hasty.ack(outcome.reservations)
            seen.update(ids(outcome))
    await restored(hasty, calls=60 - len(seen))
    left = await open_queue().reserve(ROOMY, incarnation)
    assert ids(left) == [call.id for call in calls if call.id not in seen]
