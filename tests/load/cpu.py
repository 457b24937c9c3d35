"""Who used the processor: time in user and kernel mode by process, from /proc. Only processes of this machine.

The kernel's work for nobody in particular (interrupts) is in no process: with the processes that nobody asked for, it
is what remains of the machine's busy time.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


class Process(Struct, frozen=True, kw_only=True):
    """One process. ``ticks``: its processor time; in our own, with that of the client programs that have ended."""

    name: str
    parent: int
    ticks: int


Snapshot = dict[int, Process]


def processes() -> Snapshot:
    """All that run now, by pid."""
    found = {}
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:  # it has ended meanwhile
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        pid = int(entry.name)
        times = fields[11:15] if pid == os.getpid() else fields[11:13]
        found[pid] = Process(name=name, parent=int(fields[1]), ticks=sum(map(int, times)))
    return found


def family(snapshot: Snapshot, ancestors: Iterable[int]) -> set[int]:
    """*ancestors* and all that descend from them."""
    found: set[int] = set()
    new = {pid for pid in ancestors if pid in snapshot}
    while new:
        found |= new
        new = {pid for pid, process in snapshot.items() if process.parent in new} - found
    return found


def named(snapshot: Snapshot, name: str) -> set[int]:
    """All processes of this name."""
    return {pid for pid, process in snapshot.items() if process.name == name}


def used_us(before: Snapshot, after: Snapshot, groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """What each group used between the two, in µs. A process that is in only one of them counts nothing."""
    return {
        group: TICK_US
        * sum(after[pid].ticks - before[pid].ticks for pid in pids if pid in before and pid in after)
        for group, pids in groups.items()
    }


def busy_us() -> float:
    """What the whole machine has used since it started: all cores, everything but idling and waiting for disks."""
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return TICK_US * (user + nice + system + irq + softirq)
