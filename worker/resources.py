"""ResourceBudget: how many calls and how much of their memory this worker takes at a time.

It counts what was promised to calls, not what they use: a container's limit holds it to its promise. A grant lives from
the claim until the outcome is recorded and the container removed, or left to the pool: containers that wait for a call
live in memory that is not granted, and make room for those that have one.
"""

import os
from collections.abc import Callable
from pathlib import Path

from common.errors import SettingsError
from common.queue.base import Capacity, Lane
from common.settings import Settings

_MB = 1024 * 1024
HEAD_ROOM_SHARE = 10  # one part in this many is left to the machine and to this process
HEAD_ROOM_MIN_MB = 256
HEAD_ROOM_MAX_MB = 5 * 1024
MIN_SLOTS_SHARE = 4  # the minimum of a lane is at most one slot in this many: few slots are for whoever comes


class Grant:
    """A slot and memory for one call. Given back apart for a hot call, whose memory stays with its container."""

    def __init__(self, budget: "ResourceBudget", lane: Lane, memory_mb: int) -> None:
        self._budget = budget
        self._lane = lane
        self._memory_mb = memory_mb
        self._has_slot = True

    def give_back_memory(self) -> None:
        """Return the memory alone; a second time changes nothing."""
        memory_mb, self._memory_mb = self._memory_mb, 0
        self._budget.give_back_memory(memory_mb)

    def give_back_slot(self) -> None:
        """Return the slot alone; a second time changes nothing."""
        if self._has_slot:
            self._has_slot = False
            self._budget.give_back_slot(self._lane)

    def give_back(self) -> None:
        """Return what is still held; a second time changes nothing."""
        self.give_back_memory()
        self.give_back_slot()


class ResourceBudget:
    """Slots and memory, granted and given back. ``freed`` is called whenever something came back.

    ``min_slots``: what each lane has whatever the other one needs; the rest is for who comes first. Slots of the sync
    lane stay empty for it: a caller waits, and async calls may run for an hour. The async lane has the next slot that
    comes free while it has calls that wait: sync calls are short.
    """

    def __init__(self, slots: int, memory_mb: int, min_slots: dict[Lane, int] | None = None) -> None:
        self.slots = slots
        self.memory_mb = memory_mb
        self.free_mb = memory_mb
        self.freed: Callable[[], None] = lambda: None
        self._min_slots = min_slots or {}
        self._used = dict.fromkeys(Lane, 0)

    def capacity(self) -> Capacity | None:
        """What could be granted now; None if nothing could."""
        free_slots = self.slots - sum(self._used.values())
        if free_slots <= 0 or self.free_mb <= 0:
            return None
        return Capacity(
            slots=free_slots,
            sync_slots=free_slots,
            async_slots=max(0, free_slots - self._owed_to(Lane.SYNC)),
            async_first=min(free_slots, self._owed_to(Lane.ASYNC)),
            free_mb=self.free_mb,
            total_mb=self.memory_mb,
        )

    @property
    def used_mb(self) -> int:
        """The memory of calls under way."""
        return self.memory_mb - self.free_mb

    def resize(self, memory_mb: int) -> None:
        """Have that much memory from now on. Where calls use more, nothing is granted until they use less."""
        self.free_mb += memory_mb - self.memory_mb
        self.memory_mb = memory_mb
        self.freed()

    def _owed_to(self, lane: Lane) -> int:
        """How many slots the lane lacks of its minimum."""
        return max(0, self._min_slots.get(lane, 0) - self._used[lane])

    def grant(self, lane: Lane, memory_mb: int) -> Grant:
        """Take a slot and memory for a call that was reserved within the capacity."""
        self._used[lane] += 1
        self.free_mb -= memory_mb
        return Grant(self, lane, memory_mb)

    def give_back_memory(self, memory_mb: int) -> None:
        self.free_mb += memory_mb
        self.freed()

    def give_back_slot(self, lane: Lane) -> None:
        self._used[lane] -= 1
        self.freed()


def budget_for(settings: Settings) -> ResourceBudget:
    """What the settings ask for, or what fits this machine. Raises SettingsError if nothing is left for calls."""
    slots = settings.worker_slots or 2 * len(os.sched_getaffinity(0))
    memory_mb = settings.worker_memory_mb or usable_memory_mb()
    if memory_mb <= 0:
        raise SettingsError(
            "There is not enough memory to run calls: set MILLRACE_WORKER_MEMORY_MB to run them nevertheless",
            field="MILLRACE_WORKER_MEMORY_MB",
        )
    largest = slots // MIN_SLOTS_SHARE
    min_slots = {
        Lane.SYNC: min(settings.worker_sync_min_slots, largest),
        Lane.ASYNC: min(settings.worker_async_min_slots, largest),
    }
    return ResourceBudget(slots, memory_mb, min_slots)


def usable_memory_mb(root: Path = Path("/")) -> int:
    """What the machine has free now, or what our control group may use if that is less; minus a head room, in MB."""
    free_mb = min([_available_mb(root), *_group_limits_mb(root)])
    head_room_mb = min(max(free_mb // HEAD_ROOM_SHARE, HEAD_ROOM_MIN_MB), HEAD_ROOM_MAX_MB)
    return max(0, free_mb - head_room_mb)


def _available_mb(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, value = line.split(":")
        if name == "MemAvailable":
            return int(value.split()[0]) // 1024
    return 0


def _group_limits_mb(root: Path) -> list[int]:
    """The memory limits of our control group and of those above it, of either version; none if there is no limit."""
    limits = []
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        for folder in (top, *(top / part for part in (group, *group.parents))):
            limits += _limit_mb(folder / name)
    return limits


def _limit_mb(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []  # inside a container the group's own path is not mounted; the top one is ours then
    return [int(text) // _MB] if text.isdecimal() else []
