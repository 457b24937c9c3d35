"""The budget, and what it is made from on machines with and without control group limits."""

from pathlib import Path

import pytest

from common.errors import SettingsError
from common.queue.base import Lane
from common.settings import Settings
from worker import resources
from worker.resources import ResourceBudget, budget_for, usable_memory_mb

GB = 1024 * 1024 * 1024


def machine(root: Path, available_kb: int, cgroup: str, **limits: str) -> Path:
    """A root directory with these files of /proc and /sys; ``__`` in a name stands for ``/``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {available_kb} kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, value in limits.items():
        file = (
            root
            / "sys/fs/cgroup"
            / name.replace("__", "/").replace("_max", ".max").replace("_bytes", "_in_bytes")
        )
        file = file.with_name(file.name.replace("memory_limit", "memory.limit"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
    return root


def test_a_tenth_is_left_to_the_machine(tmp_path: Path) -> None:
    assert usable_memory_mb(machine(tmp_path, 10 * 1024 * 1024, "0::/\n")) == 9 * 1024


def test_the_head_room_has_bounds(tmp_path: Path) -> None:
    assert usable_memory_mb(machine(tmp_path / "small", 1024 * 1024, "0::/\n")) == 1024 - 256
    assert usable_memory_mb(machine(tmp_path / "large", 100 * 1024 * 1024, "0::/\n")) == 95 * 1024
    assert usable_memory_mb(machine(tmp_path / "tiny", 100 * 1024, "0::/\n")) == 0


def test_the_smallest_limit_of_version_2_on_the_way_up_counts(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        100 * 1024 * 1024,
        "0::/a/b\n",
        a__b__memory_max="max\n",
        a__memory_max=f"{20 * GB}\n",
    )
    assert usable_memory_mb(root) == 18 * 1024


def test_the_limit_of_version_1_counts_also_where_only_the_top_is_mounted(tmp_path: Path) -> None:
    cgroup = "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n"
    root = machine(tmp_path, 100 * 1024 * 1024, cgroup, memory__memory_limit_bytes=f"{10 * GB}\n")
    assert usable_memory_mb(root) == 9 * 1024


def test_this_machine_has_memory() -> None:
    assert usable_memory_mb() > 0


def test_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "usable_memory_mb", lambda: 0)
    budget = budget_for(Settings(worker_slots=3, worker_memory_mb=77))
    assert (budget.slots, budget.memory_mb) == (3, 77)
    with pytest.raises(SettingsError, match="MILLRACE_WORKER_MEMORY_MB"):
        budget_for(Settings())


def test_grants_shrink_the_capacity_until_they_are_given_back() -> None:
    """Fn's U-37."""
    budget, freed = ResourceBudget(2, 100), []
    budget.freed = lambda: freed.append(True)
    small = budget.grant(Lane.ASYNC, 60)
    capacity = budget.capacity()
    assert capacity is not None
    assert (capacity.slots, capacity.free_mb, capacity.total_mb) == (1, 40, 100)
    budget.grant(Lane.ASYNC, 40)
    assert budget.capacity() is None
    assert not freed
    small.give_back()
    assert freed
    assert budget.capacity() is not None


def test_memory_may_come_back_before_its_slot_and_only_once() -> None:
    budget = ResourceBudget(2, 100)
    grant = budget.grant(Lane.SYNC, 60)
    grant.give_back_memory()
    grant.give_back_memory()
    assert budget.free_mb == 100
    capacity = budget.capacity()
    assert capacity is not None
    assert capacity.slots == 1
    grant.give_back()
    assert budget.free_mb == 100


def test_a_slot_may_come_back_before_its_memory_and_only_once() -> None:
    budget = ResourceBudget(2, 100)
    grant = budget.grant(Lane.SYNC, 60)
    grant.give_back_slot()
    grant.give_back_slot()
    capacity = budget.capacity()
    assert capacity is not None
    assert (capacity.slots, capacity.free_mb) == (2, 40)
    grant.give_back()
    assert (budget.capacity(), budget.free_mb) == (ResourceBudget(2, 100).capacity(), 100)


def lanes(budget: ResourceBudget) -> tuple[int, int, int]:
    """Slots for sync calls, for async ones, and those that async calls have first."""
    capacity = budget.capacity()
    assert capacity is not None
    return capacity.sync_slots, capacity.async_slots, capacity.async_first


def test_slots_stay_empty_for_the_sync_lane_and_the_async_one_has_a_claim() -> None:
    budget = budget_for(Settings(worker_slots=8, worker_memory_mb=100, worker_sync_min_slots=2))
    assert lanes(budget) == (8, 6, 1)
    held = [budget.grant(Lane.ASYNC, 1) for _ in range(6)]
    assert lanes(budget) == (2, 0, 0)
    sync = [budget.grant(Lane.SYNC, 1) for _ in range(2)]
    assert budget.capacity() is None
    sync[0].give_back()
    assert lanes(budget) == (1, 0, 0)
    for one in held:
        one.give_back()
    for _ in range(6):
        budget.grant(Lane.SYNC, 1)
    assert lanes(budget) == (1, 1, 1)


def test_with_few_slots_no_lane_has_a_minimum() -> None:
    assert lanes(budget_for(Settings(worker_slots=2, worker_memory_mb=100))) == (2, 2, 0)
    assert lanes(budget_for(Settings(worker_slots=4, worker_memory_mb=100))) == (4, 3, 1)


def test_a_smaller_part_grants_nothing_until_its_calls_fit_in() -> None:
    budget = ResourceBudget(slots=4, memory_mb=1000)
    grants = [budget.grant(Lane.ASYNC, 300) for _ in range(3)]
    budget.resize(500)
    assert (budget.used_mb, budget.capacity()) == (900, None)
    for grant in grants[:2]:
        grant.give_back()
    capacity = budget.capacity()
    assert capacity is not None
    assert (capacity.free_mb, capacity.total_mb) == (200, 500)
