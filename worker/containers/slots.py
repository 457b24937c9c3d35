"""The pool's rules, as plain data: whose turn it is, when to launch, and which idle container is the least loss.

Stock is what the pool has of one slot key, Books are all stocks. Idle containers are taken newest first, so that those
which are not needed grow old; waiting calls are served oldest first. Nothing here waits, or speaks to an engine.

The least loss is found by the greedy-dual rule: an idle container's rank is the clock as it was when it became idle,
plus what it saves, which is ``uses of its key * seconds of a launch / MB``. The lowest rank goes first, and the clock
moves up to it: what is not used any more is overtaken by what is, however dear it once was.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from worker.containers.driver import ContainerSpec
from worker.containers.hot import Slot

KEPT_GAPS = 8  # of a container's idle times
STEADY_FACTOR = 3  # idle times up to this many times pause_after_s are steady use
STARVED_S = 1.0  # how long a call waits for a place before it gets one at the cost of other keys' calls


class PoolLimits(Struct, frozen=True, kw_only=True):
    """What the operator sets. 0: no cap of its own; never paused."""

    max_containers: int = 0  # of all keys, of this worker
    max_per_route: int = 0  # of one key
    pause_after_s: float = 0


class PoolCounts(Struct, frozen=True, kw_only=True):
    """How many containers are in each state; paused ones are idle, too."""

    idle: int
    paused: int
    busy: int
    starting: int


class SlotKey(Struct, frozen=True):
    """What a container serves for its whole life: a changed route or image has another key."""

    revision: bytes
    image: str


@dataclass(eq=False, slots=True)
class Place:
    """One hot container in the pool's books, with what is under way for it while it is idle."""

    slot: Slot
    stock: "Stock"
    rank: float = 0.0
    pausing: asyncio.Task[None] | None = None  # since it is paused, or about to be
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    idle_since: float = 0.0  # by the monotonic clock
    gaps_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_GAPS))  # how long it idled, lately


def pause_delay(pause_after_s: float, gaps_s: Iterable[float]) -> float:
    """How long an idle container runs on before it is paused.

    *pause_after_s*, but in steady use (it was wanted again within STEADY_FACTOR times that, at least once lately) twice
    the longest such gap: the next call then finds it running. Never more than 2 * STEADY_FACTOR * pause_after_s.
    """
    steady_s = [gap_s for gap_s in gaps_s if gap_s <= STEADY_FACTOR * pause_after_s]
    return max([pause_after_s, *(2 * gap_s for gap_s in steady_s)])


@dataclass(eq=False, slots=True)
class Stock:
    """All that the pool has of one key, and who waits for it. ``removing`` ones are still on the engine."""

    key: SlotKey
    spec: ContainerSpec
    idle_timeout_s: float
    waiters: deque[tuple[float, asyncio.Future[Slot]]] = field(default_factory=deque)
    idle: list[Place] = field(default_factory=list)
    busy: int = 0
    held_back: int = 0  # of the busy ones: free in a moment
    starting: int = 0
    removing: int = 0
    uses: int = 0
    launch_s: float = 0.0

    @property
    def memory_mb(self) -> int:
        return self.spec.memory_mb

    @property
    def is_unused(self) -> bool:
        """Whether it may be forgotten."""
        return not (self.waiters or self.taken or self.removing)

    @property
    def surplus_mb(self) -> int:
        """Memory of starting containers that no waiting call's grant covers."""
        return max(0, self.starting - len(self.waiters)) * self.memory_mb

    @property
    def taken(self) -> int:
        """How many places it takes, or is about to."""
        return len(self.idle) + self.busy + self.starting

    def may_launch(self, max_per_route: int) -> bool:
        """Whether a launch is wanted, more calls waiting than containers are or will be free, and its cap allows it."""
        is_wanted = len(self.waiters) > len(self.idle) + self.held_back + self.starting
        return is_wanted and (not max_per_route or self.taken + self.removing < max_per_route)

    @property
    def oldest_wait(self) -> float:
        """Since when the oldest waiting call waits, by the monotonic clock."""
        return self.waiters[0][0] if self.waiters else math.inf

    def enqueue(self, waiter: asyncio.Future[Slot]) -> None:
        """One more call waits, until it is served or withdraws."""
        self.waiters.append((time.monotonic(), waiter))

    def withdraw(self, waiter: asyncio.Future[Slot]) -> None:
        """This call does not wait any more; nothing happens if it does not."""
        self.waiters = deque(entry for entry in self.waiters if entry[1] is not waiter)

    def next_waiter(self) -> asyncio.Future[Slot] | None:
        """The oldest waiting call, which does not wait any more then."""
        while self.waiters:
            _, waiter = self.waiters.popleft()
            if not waiter.done():
                return waiter
        return None


class Books:
    """All stocks: which of them comes next, and what they take together."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._stocks: dict[SlotKey, Stock] = {}
        self._clock = 0.0

    def stock(self, key: SlotKey, spec: ContainerSpec, idle_timeout_s: float) -> Stock:
        """The stock of *key*; a new one is made to the other two."""
        stock = self._stocks.get(key)
        if stock is None:
            stock = self._stocks[key] = Stock(key=key, spec=spec, idle_timeout_s=idle_timeout_s)
        return stock

    def forget_if_unused(self, stock: Stock) -> None:
        """Let go of a stock that holds nothing and is waited for by nobody."""
        if stock.is_unused and self._stocks.get(stock.key) is stock:
            del self._stocks[stock.key]

    @property
    def idle_mb(self) -> int:
        """What no call's grant covers: the idle ones, and those that start without anybody waiting."""
        return sum(len(stock.idle) * stock.memory_mb + stock.surplus_mb for stock in self._stocks.values())

    @property
    def is_full(self) -> bool:
        """Whether the cap of all is reached."""
        taken = sum(stock.taken for stock in self._stocks.values())
        return bool(self._limits.max_containers) and taken >= self._limits.max_containers

    def next_launch(self) -> Stock | None:
        """The stock of the oldest waiting call to launch for, as far as its own cap goes."""
        wanting = [stock for stock in self._stocks.values() if stock.may_launch(self._limits.max_per_route)]
        return min(wanting, key=lambda stock: stock.oldest_wait, default=None)

    def is_owed_to_others(self, stock: Stock) -> bool:
        """Whether another key's call has starved for want of a place: one key must not keep them all by being busy."""
        if not self._limits.max_containers:
            return False
        hungriest = self.next_launch()
        if hungriest is None or hungriest is stock:
            return False
        return hungriest.oldest_wait < time.monotonic() - STARVED_S

    def rank(self, stock: Stock) -> float:
        """The rank of one that becomes idle now."""
        return self._clock + stock.uses * stock.launch_s / max(stock.memory_mb, 1)

    def least_loss(self) -> Place | None:
        """The idle container to do without, None if there is none."""
        oldest = [stock.idle[0] for stock in self._stocks.values() if stock.idle]
        return min(oldest, key=lambda place: place.rank, default=None)

    def evicted(self, place: Place) -> None:
        """It is done without."""
        self._clock = max(self._clock, place.rank)

    def fail_waiting(self, error: Exception) -> None:
        """Fail all that wait."""
        for stock in self._stocks.values():
            while waiter := stock.next_waiter():
                waiter.set_exception(error)

    def counts(self) -> PoolCounts:
        """What is where now."""
        stocks = self._stocks.values()
        return PoolCounts(
            idle=sum(len(stock.idle) for stock in stocks),
            paused=sum(place.pausing is not None for stock in stocks for place in stock.idle),
            busy=sum(stock.busy for stock in stocks),
            starting=sum(stock.starting for stock in stocks),
        )
