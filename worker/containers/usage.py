"""Reads the engine's statistics, whose shape differs between cgroup v1 and v2. Knows no percentages: see stats.py."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.containers.driver import Usage


def read_usage(shown: dict[str, Any]) -> Usage | None:
    """The engine's sample in our words; None if it is empty (the container does not run) or lacks what is needed."""
    try:
        return _read_usage(shown)
    except (KeyError, TypeError, AttributeError):
        return None


def _read_usage(shown: dict[str, Any]) -> Usage | None:
    memory, cpu = shown.get("memory_stats") or {}, shown.get("cpu_stats") or {}
    if "usage" not in memory or "system_cpu_usage" not in cpu:
        return None
    networks = (shown.get("networks") or {}).values()
    used = cpu["cpu_usage"]
    return Usage(
        net_rx=sum(network["rx_bytes"] for network in networks),
        net_tx=sum(network["tx_bytes"] for network in networks),
        mem_limit=memory["limit"],
        mem_usage=memory["usage"],
        disk_read=_disk_bytes(shown, "read"),
        disk_write=_disk_bytes(shown, "write"),
        cpu_user_ns=used["usage_in_usermode"],
        cpu_kernel_ns=used["usage_in_kernelmode"],
        cpu_total_ns=used["total_usage"],
        system_cpu_ns=cpu["system_cpu_usage"],
        cpus=cpu.get("online_cpus") or len(used.get("percpu_usage") or ()) or 1,
    )


def _disk_bytes(shown: dict[str, Any], operation: str) -> int:
    entries = (shown.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return sum(entry["value"] for entry in entries if entry["op"].lower() == operation)


def folder_bytes(folder: str) -> int:
    """What the files below *folder* take of the disk; what can't be read counts as nothing. Blocks."""
    total = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(OSError):
                total += Path(parent, name).lstat().st_blocks * 512
    return total
