"""ContainerPool: hot containers, kept for the calls of their route revision and image, and of no other.

    launch ─▶ starting ──▶ busy ◀───── taken ────── idle ◀──unpaused── paused
                 │         │  └─────given back─────▶ │ ──pause_after_s──▶ │
                 │ failed  │ doubt                   │ idle timeout, evicted, excess byte, exit
                 ▼         ▼                         ▼                    ▼
              removing ◀───┴─────────────────────────┴────────────────────┘ ──▶ gone, or left to the sweep

A container that is given back goes to the oldest waiting call of its key at once; else it idles. The newest idle one is
taken first. A launch is decided when more calls wait than containers are or will be free, and belongs to the pool, not
to the call: who stops waiting stops nothing. A failed launch fails the oldest waiting call, and no other.

Memory: a call brings its grant, which covers the container that it waits for or has, until that idles, serves another
call or is gone. What idles, and what starts without anybody waiting, must fit into what is not granted (``free_mb``);
the least loss is removed until it does, and is gone before another container is created. A starting container is never
evicted.

Every state change is made between two awaits, and every container is in exactly one state: no locks. The pool owns
all tasks; ``aclose`` ends them. What can't be removed is held no longer, as ``holds`` tells
the sweep.
"""

import asyncio
import time
from collections.abc import Callable

from msgspec.structs import replace

from common.errors import EngineUnavailableError, UnavailableError
from common.telemetry.logs import get_logger
from worker.containers.driver import (
    LABEL_HOT,
    ContainerDriver,
    ContainerSpec,
    RefusedError,
    new_container_name,
)
from worker.containers.hot import GRACE_S, Slot
from worker.containers.removals import Removals
from worker.containers.shelf import Shelf
from worker.containers.slots import Books, Place, PoolCounts, PoolLimits, SlotKey, Stock

LAUNCH_CLOSE_S = 10.0  # how long launches may go on when the pool closes

_CLOSING = "Worker is closing"

log = get_logger("pool")


class ContainerPool:
    """See above. ``free_mb`` tells the memory that is granted to no call, in MiB."""

    def __init__(self, driver: ContainerDriver, limits: PoolLimits, free_mb: Callable[[], int]) -> None:
        self._driver = driver
        self._limits = limits
        self._free_mb = free_mb
        self._books = Books(limits)
        self._places: dict[str, Place] = {}  # idle and busy ones, by the container's name
        self._launches: set[asyncio.Task[None]] = set()
        self._removals = Removals(driver)
        self._shelf = Shelf(driver, limits.pause_after_s, on_expired=self._remove)
        self._is_closed = False

    async def acquire(self, key: SlotKey, spec: ContainerSpec, idle_timeout_s: float) -> Slot:
        """A container of *key*, made to *spec* but for its name; to be given back by ``give_back``, whatever happens.

        Waits its turn for as long as it takes. Raises what driver.create and driver.start raise. Safe to cancel.
        """
        while not self._is_closed:
            stock = self._books.stock(key, spec, idle_timeout_s)
            if not stock.idle:
                return await self._wait_in(stock)
            place = self._take_newest(stock)
            if await self._is_awake(place):
                return place.slot
        raise EngineUnavailableError(_CLOSING)

    async def give_back(self, slot: Slot, end_grant: Callable[[], None] = lambda: None) -> None:
        """The call of *slot* is over. When this returns, its log is complete, and a container in doubt is gone.

        *end_grant* is called as soon as the call's grant has to cover the container no more: in the step in which it
        idles or serves another call, else when it is gone. Always to be called; safe to cancel, then without that.
        """
        expects_log = slot.expects_log  # else others need not wait for what is hardly on its way
        try:
            if slot.is_reusable and expects_log:
                await self._hold_back(slot)
        finally:
            call_log = slot.end_call()
            stays = self._pass_back(slot)
        if stays:
            end_grant()
        if slot.is_reusable and not expects_log:
            await asyncio.sleep(GRACE_S)
        slot.end_log(call_log)
        await self._removals.wait_for(slot.name)
        if not stays:
            end_grant()

    async def make_room(self) -> None:
        """Remove idle containers until the others fit into the free memory; return when they are gone."""
        while self._books.idle_mb + self._removals.pending_mb > self._free_mb():
            if self._books.idle_mb > self._free_mb() and self._evict():
                continue
            if not await self._removals.wait_for_any():
                return

    def holds(self, name: str) -> bool:
        """Whether a container of this name (its label LABEL_HOT) is the pool's to remove, not the sweep's."""
        return name in self._removals.names

    def counts(self) -> PoolCounts:
        """What is where now."""
        return self._books.counts()

    async def aclose(self) -> None:
        """Remove all containers, those of running calls too. Bounded; what is left then is left to the sweep."""
        self._is_closed = True
        self._books.fail_waiting(EngineUnavailableError(_CLOSING))
        for place in list(self._places.values()):
            self._remove(place)
        if self._launches:
            _, late = await asyncio.wait(self._launches, timeout=LAUNCH_CLOSE_S)
            for launch in late:
                launch.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._shelf.aclose()
        await self._removals.aclose()

    # -- who gets a container --------------------------------------------------------------------------------------

    def _take_newest(self, stock: Stock) -> Place:
        place = stock.idle.pop()
        self._shelf.take(place)
        stock.busy += 1
        stock.uses += 1
        return place

    async def _is_awake(self, place: Place) -> bool:
        is_awake = False
        try:
            is_awake = await self._shelf.wake(place)
        finally:
            if not is_awake and place.slot.name in self._places:
                self._remove(place)
        return is_awake

    async def _wait_in(self, stock: Stock) -> Slot:
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        stock.enqueue(waiter)
        self._launch_where_needed()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_back(waiter.result())  # it was handed over in the same moment
            raise
        finally:
            stock.withdraw(waiter)
            self._books.forget_if_unused(stock)

    async def _hold_back(self, slot: Slot) -> None:
        """For its log; nothing is launched for a call that can have it then."""
        place = self._places.get(slot.name)
        if place is None:
            return
        place.stock.held_back += 1
        try:
            await slot.hear_out()
        finally:
            place.stock.held_back -= 1

    def _pass_back(self, slot: Slot) -> bool:
        place = self._places.get(slot.name)
        return place is not None and self._pass_on(place)  # None: the pool was closed meanwhile

    def _pass_on(self, place: Place) -> bool:
        """To the oldest who waits, else to idle; if it is in doubt, away with it, which is False."""
        stock = place.stock
        if not place.slot.is_reusable or self._is_closed:
            self._remove(place)
            self._launch_where_needed()  # a call may have waited for it
            return False
        waiter = None if self._books.is_owed_to_others(stock) else stock.next_waiter()
        if waiter is not None:
            stock.uses += 1
            waiter.set_result(place.slot)
            return True
        self._let_idle(place)
        if self._limits.max_containers:
            self._launch_where_needed()  # its place may be wanted more than itself
            # Those for whom it was spared may have got another place: then it is for its own key's call after all.
            if place in stock.idle and (waiter := stock.next_waiter()) is not None:
                waiter.set_result(self._take_newest(stock).slot)
        return True

    # -- launches --------------------------------------------------------------------------------------------------

    def _launch_where_needed(self) -> None:
        while not self._is_closed and (stock := self._books.next_launch()):
            if self._books.is_full and not self._evict():
                return
            stock.starting += 1
            launch = asyncio.create_task(self._launch(stock))
            self._launches.add(launch)
            launch.add_done_callback(self._launches.discard)

    async def _launch(self, stock: Stock) -> None:
        name = new_container_name()
        slot = Slot(name, self._driver, self._doubted)
        try:
            await self._removals.claim(name, self._limits.max_containers)
            await self.make_room()
            began_at = time.monotonic()
            await slot.launch(replace(stock.spec, name=name, labels=stock.spec.labels | {LABEL_HOT: name}))
            stock.launch_s = time.monotonic() - began_at
        except BaseException as error:
            stock.starting -= 1
            slot.close()
            self._begin_removal(stock, name, freed_mb=0)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._launch_failed(stock, error)
        else:
            await self._launched(stock, slot)

    async def _launched(self, stock: Stock, slot: Slot) -> None:
        stock.starting -= 1
        stock.busy += 1
        place = self._places[slot.name] = Place(slot, stock)
        waiter = stock.next_waiter()
        if waiter is not None:  # even if it is in doubt already: the call learns why
            stock.uses += 1
            waiter.set_result(slot)
        else:
            self._pass_on(place)
            await self.make_room()

    def _launch_failed(self, stock: Stock, error: BaseException) -> None:
        waiter = stock.next_waiter()
        if waiter is not None:
            waiter.set_exception(error)
        elif not isinstance(error, RefusedError | UnavailableError):
            log.error("launch failed", exc_info=error)

    # -- idle ones -------------------------------------------------------------------------------------------------

    def _let_idle(self, place: Place) -> None:
        stock = place.stock
        stock.busy -= 1
        stock.idle.append(place)
        place.rank = self._books.rank(stock)
        self._shelf.put(place)

    def _doubted(self, slot: Slot) -> None:
        """An idle one is gone at once; a busy one when it is given back."""
        place = self._places.get(slot.name)
        if place is not None and place in place.stock.idle:
            log.info("idle container dropped: it exited, or wrote to stdout unasked", container=slot.name)
            self._remove(place)

    def _evict(self) -> bool:
        place = self._books.least_loss()
        if place is None:
            return False
        self._books.evicted(place)
        self._remove(place)
        return True

    # -- the end ---------------------------------------------------------------------------------------------------

    def _remove(self, place: Place) -> None:
        stock, freed_mb = place.stock, 0
        self._shelf.take(place)
        if place in stock.idle:
            stock.idle.remove(place)
            freed_mb = stock.memory_mb
        else:  # its call's grant covers it until it is gone
            stock.busy -= 1
        del self._places[place.slot.name]
        place.slot.close()
        self._begin_removal(stock, place.slot.name, freed_mb, place.pausing)

    def _begin_removal(
        self, stock: Stock, name: str, freed_mb: int, pausing: asyncio.Task[None] | None = None
    ) -> None:
        stock.removing += 1
        self._removals.begin(name, freed_mb, pausing, on_gone=lambda: self._removed(stock))

    def _removed(self, stock: Stock) -> None:
        stock.removing -= 1
        self._books.forget_if_unused(stock)
        self._launch_where_needed()
