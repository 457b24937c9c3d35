"""Seats: who uses a connection next, and how many do."""

import asyncio

import pytest

from common.errors import StoreUnavailableError
from common.store import seats
from common.store.seats import Seats


async def takers(of: Seats, order: list[int], count: int) -> list[asyncio.Task[None]]:
    """Tasks that wait for a seat each, and note in which order they get it."""

    async def take(number: int) -> None:
        await of.take()
        order.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_seats_are_given_in_the_order_of_those_who_ask() -> None:
    order: list[int] = []
    two = Seats(2)
    tasks = await takers(two, order, 5)
    assert order == [0, 1]
    tasks[3].cancel()
    for _ in range(3):
        two.give_back()
        await asyncio.sleep(0)
    assert order == [0, 1, 2, 4]
    assert two.used == 1
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_seat_given_in_the_moment_of_a_cancel_is_given_on() -> None:
    order: list[int] = []
    one = Seats(1)
    tasks = await takers(one, order, 3)
    one.give_back()
    tasks[1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0, 2]
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_the_server_refuses_is_not_asked_for_until_later(monkeypatch: pytest.MonkeyPatch) -> None:
    three = Seats(3)
    for _ in range(3):
        await three.take()
    three.refused()  # two are there
    order: list[int] = []
    tasks = await takers(three, order, 2)
    assert (three.used, order) == (2, [])
    first = asyncio.create_task(three.take(is_first=True))
    await asyncio.sleep(0)
    three.give_back()
    await first
    assert order == []
    monkeypatch.setattr(seats, "GROW_AFTER_S", -1.0)
    three.give_back()
    await asyncio.sleep(0)
    assert (three.used, order) == (3, [0, 1])
    await asyncio.gather(*tasks)


async def test_the_last_seat_is_not_held_by_one_that_needs_another() -> None:
    two = Seats(2)
    two.hold()
    with pytest.raises(StoreUnavailableError, match="too few connections"):
        two.hold()
    two.let_go()
    two.hold()
