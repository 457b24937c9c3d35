"""ResourceBudget: how many calls and how much of their memory this worker takes at a time.

It counts what was promised to calls, not what they use: a container's limit holds it to its promise. A grant lives from
the claim until the container is removed and the outcome recorded.
"""

import asyncio
import os
from pathlib import Path

from common.errors import SettingsError
from common.queue.base import Capacity
from common.settings import Settings

_MB = 1024 * 1024
HEAD_ROOM_SHARE = 10  # one part in this many is left to the machine and to this process
HEAD_ROOM_MIN_MB = 256
HEAD_ROOM_MAX_MB = 5 * 1024


class ResourceBudget:
    """Slots and memory, granted and given back. ``freed`` is set whenever something came back."""

    def __init__(self, slots: int, memory_mb: int) -> None:
        self.slots = slots
        self.memory_mb = memory_mb
        self._free_slots = slots
        self._free_mb = memory_mb
        self.freed = asyncio.Event()

    def capacity(self) -> Capacity | None:
        """What could be granted now; None if nothing could."""
        if self._free_slots <= 0 or self._free_mb <= 0:
            return None
        return Capacity(
            slots=self._free_slots,
            sync_slots=0,
            async_slots=self._free_slots,
            free_mb=self._free_mb,
            total_mb=self.memory_mb,
        )

    def grant(self, memory_mb: int) -> None:
        """Take a slot and memory for a call that was reserved within the capacity."""
        self._free_slots -= 1
        self._free_mb -= memory_mb

    def give_back(self, memory_mb: int) -> None:
        """Return what was granted."""
        self._free_slots += 1
        self._free_mb += memory_mb
        self.freed.set()


def budget_for(settings: Settings) -> ResourceBudget:
    """What the settings ask for, or what fits this machine. Raises SettingsError if nothing is left for calls."""
    slots = settings.worker_slots or 2 * len(os.sched_getaffinity(0))
    memory_mb = settings.worker_memory_mb or usable_memory_mb()
    if memory_mb <= 0:
        raise SettingsError(
            "There is not enough memory to run calls: set MILLRACE_WORKER_MEMORY_MB to run them nevertheless",
            field="MILLRACE_WORKER_MEMORY_MB",
        )
    return ResourceBudget(slots, memory_mb)


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
