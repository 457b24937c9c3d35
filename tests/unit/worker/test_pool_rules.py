"""The pool's rules as plain data: who is served, when to launch, and which idle container is the least loss."""

import asyncio
from typing import Any

import pytest

from worker.containers.driver import ContainerSpec, Image
from worker.containers.hot import Slot
from worker.containers.slots import Books, Place, PoolLimits, SlotKey, Stock, pause_delay


def stock(books: Books, name: str = "one", *, memory_mb: int = 100, **counts: int) -> Stock:
    spec = ContainerSpec(
        name="", image=Image(id="i"), env={}, labels={}, memory_mb=memory_mb, writable_root=False
    )
    made = books.stock(SlotKey(name.encode(), "i"), spec, idle_timeout_s=60)
    for field, value in counts.items():
        setattr(made, field, value)
    return made


def idle(books: Books, of: Stock) -> Place:
    """One more idle container."""
    place = Place(None, of)  # type: ignore[arg-type]
    place.rank = books.rank(of)
    of.idle.append(place)
    return place


def wait(of: Stock, *, calls: int = 1, since: float | None = None) -> list[asyncio.Future[Slot]]:
    """So many more waiting calls."""
    loop = asyncio.get_running_loop()
    waiters: list[asyncio.Future[Slot]] = [loop.create_future() for _ in range(calls)]
    for waiter in waiters:
        of.enqueue(waiter)
        if since is not None:
            of.waiters[-1] = (since, waiter)
    return waiters


@pytest.mark.parametrize(
    ("waiting", "starting", "others", "max_per_route", "may_launch"),
    [
        (0, 0, {}, 0, False),
        (1, 0, {}, 0, True),
        (1, 1, {}, 0, False),
        (2, 1, {}, 0, True),
        (2, 0, {"busy": 2}, 3, True),
        (2, 1, {"busy": 2}, 3, False),
        (2, 0, {"busy": 2, "removing": 1}, 3, False),  # it is still on the engine
        (9, 0, {"busy": 9}, 0, True),
    ],
)
async def test_a_launch_is_wanted_for_each_call_that_nothing_is_on_its_way_for(
    waiting: int, starting: int, others: Any, max_per_route: int, may_launch: bool
) -> None:
    """Fn's U-36."""
    one = stock(Books(PoolLimits()), **{"starting": starting} | others)
    wait(one, calls=waiting)
    assert one.may_launch(max_per_route) is may_launch


async def test_calls_are_served_in_order_without_those_that_left() -> None:
    one = stock(Books(PoolLimits()))
    first, second, third = wait(one, calls=3)
    first.cancel()
    one.withdraw(second)
    assert one.next_waiter() is third
    assert one.next_waiter() is None
    one.withdraw(third)  # nothing happens


async def test_the_longest_waiting_key_is_launched_for_first() -> None:
    books = Books(PoolLimits(max_per_route=1))
    capped, late, early = stock(books, "capped", busy=1), stock(books, "late"), stock(books, "early")
    wait(capped, since=1)
    wait(late, since=3)
    wait(early, since=2)
    assert books.next_launch() is early
    early.starting += 1
    assert books.next_launch() is late
    late.starting += 1
    assert books.next_launch() is None


async def test_a_place_is_owed_to_a_starving_key_only_under_a_cap_of_all() -> None:
    now = asyncio.get_running_loop().time()
    for max_containers, since, is_owed in ((1, now - 60, True), (1, now + 60, False), (0, now - 60, False)):
        books = Books(PoolLimits(max_containers=max_containers))
        busy = stock(books, "busy", busy=1)
        wait(stock(books, "hungry"), since=since)
        assert books.is_owed_to_others(busy) is is_owed


async def test_idle_and_surplus_memory_is_nobodys_grant() -> None:
    books = Books(PoolLimits())
    one, two = stock(books, "one", starting=3, busy=5), stock(books, "two", memory_mb=10)
    wait(one)
    idle(books, two)
    assert books.idle_mb == 2 * 100 + 10


def test_everything_counts_under_the_cap_of_all_but_what_is_going() -> None:
    books = Books(PoolLimits(max_containers=3))
    one = stock(books, "one", busy=1, starting=1, removing=5)
    is_full = [books.is_full]
    idle(books, one)
    assert [*is_full, books.is_full] == [False, True]


def test_the_least_loss_is_what_is_rare_quick_and_large() -> None:
    books = Books(PoolLimits())
    kinds = {  # uses, seconds of a launch, MB
        "base": (10, 1.0, 100),
        "rare": (1, 1.0, 100),
        "quick": (10, 0.05, 100),
        "large": (10, 1.0, 4000),
    }
    for name, (uses, launch_s, memory_mb) in kinds.items():
        one = stock(books, name, memory_mb=memory_mb, uses=uses)
        one.launch_s = launch_s
        idle(books, one)
    order = []
    while place := books.least_loss():
        place.stock.idle.remove(place)
        order.append(place.stock.key.revision.decode())
    assert order == ["large", "quick", "rare", "base"]


def test_within_a_key_the_oldest_goes_first() -> None:
    books = Books(PoolLimits())
    one = stock(books, uses=1)
    older = idle(books, one)
    idle(books, one)
    assert books.least_loss() is older


def test_what_is_used_now_overtakes_what_was_dear_once() -> None:
    books = Books(PoolLimits())
    dear = stock(books, "dear", uses=50)
    dear.launch_s = 1.0
    idle(books, dear)
    for _ in range(60):
        cheap = stock(books, "cheap", uses=1)
        cheap.launch_s = 1.0
        idle(books, cheap)
        place = books.least_loss()
        assert place is not None
        if place.stock is dear:
            return
        cheap.idle.remove(place)
        books.evicted(place)
    pytest.fail("the dear one is never evicted")


async def test_an_unused_stock_is_forgotten_but_no_newer_one_of_its_key() -> None:
    books = Books(PoolLimits())
    old = stock(books)
    (waiter,) = wait(old)
    books.forget_if_unused(old)
    assert stock(books) is old
    old.withdraw(waiter)
    books.forget_if_unused(old)
    new = stock(books)
    assert new is not old
    books.forget_if_unused(old)
    assert stock(books) is new


@pytest.mark.parametrize(
    ("gaps_s", "delay_s"),
    [
        ((), 1),
        ((0.01, 0.02), 1),
        ((2,), 4),  # called every two seconds: the next call finds it running
        ((2, 0.01, 0.01), 4),
        ((3,), 6),  # the longest that it ever runs on
        ((3.1,), 1),
        ((60, 60), 1),
        ((60, 1.5), 3),
    ],
)
def test_what_is_in_steady_use_is_not_paused_between_two_calls(
    gaps_s: tuple[float, ...], delay_s: float
) -> None:
    assert pause_delay(1, gaps_s) == delay_s
