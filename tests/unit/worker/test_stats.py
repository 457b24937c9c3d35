"""Stats: what a point holds, and how many points are kept."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from common.models import CallStat
from worker.containers.driver import Usage
from worker.containers.usage import read_usage
from worker.stats import MAX_POINTS, metrics, thin

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
USAGE = Usage(
    net_rx=1,
    net_tx=2,
    mem_limit=3,
    mem_usage=4,
    disk_read=5,
    disk_write=6,
    cpu_user_ns=0,
    cpu_kernel_ns=0,
    cpu_total_ns=0,
    system_cpu_ns=0,
    cpus=2,
)


def samples(count: int, step_s: float = 1.0) -> list[CallStat]:
    return [
        CallStat(timestamp=BEGIN + timedelta(seconds=step_s * number), metrics={"mem_usage": number})
        for number in range(count)
    ]


def test_cpu_is_percent_of_one_core_since_the_sample_before() -> None:
    # Two cores for one second are 2 s of system time; of these the container used 0.5 s.
    later = replace(
        USAGE, system_cpu_ns=2_000_000_000, cpu_total_ns=500_000_000, cpu_user_ns=400_000_000, cpu_kernel_ns=1
    )
    point = metrics(later, USAGE)
    assert (point["cpu_total"], point["cpu_user"], point["cpu_kernel"]) == (50, 40, 0)


def test_the_first_sample_has_no_cpu() -> None:
    assert metrics(USAGE, None).keys() == {
        "net_rx",
        "net_tx",
        "mem_limit",
        "mem_usage",
        "disk_read",
        "disk_write",
    }


def test_few_samples_stay_as_they_are() -> None:
    assert thin(samples(MAX_POINTS), MAX_POINTS) == samples(MAX_POINTS)


@pytest.mark.parametrize("count", [480, 700, 300])
def test_many_samples_are_averaged_in_equal_windows(count: int) -> None:
    """Fn's U-38."""
    thinned = thin(samples(count), MAX_POINTS)
    assert len(thinned) == MAX_POINTS
    assert thinned[0].metrics["mem_usage"] in (0, 1)  # of the first two or three
    assert count - 3 <= thinned[-1].metrics["mem_usage"] < count
    assert [one.timestamp for one in thinned] == sorted(one.timestamp for one in thinned)


def test_a_gap_leaves_its_windows_out() -> None:
    """Fn's U-38."""
    late = samples(100)
    gap = [replace(one, timestamp=one.timestamp + timedelta(hours=1)) for one in samples(300)]
    thinned = thin([*late, *gap], MAX_POINTS)
    assert 2 <= len(thinned) < 60


def test_samples_of_one_instant_become_one_point() -> None:
    assert len(thin(samples(300, step_s=0), MAX_POINTS)) == 1


def test_both_spellings_of_disk_operations_are_read() -> None:
    shown = {
        "memory_stats": {"usage": 4, "limit": 3},
        "cpu_stats": {
            "system_cpu_usage": 7,
            "online_cpus": 2,
            "cpu_usage": {"total_usage": 1, "usage_in_usermode": 1, "usage_in_kernelmode": 0},
        },
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"op": "Read", "value": 1},
                {"op": "read", "value": 2},
                {"op": "Write", "value": 4},
                {"op": "Total", "value": 7},
            ]
        },
        "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}, "eth1": {"rx_bytes": 1, "tx_bytes": 2}},
    }
    usage = read_usage(shown)
    assert usage is not None
    assert (usage.disk_read, usage.disk_write, usage.net_rx, usage.net_tx) == (3, 4, 11, 22)


def test_an_ended_container_has_no_usage() -> None:
    assert read_usage({"memory_stats": {}, "cpu_stats": {"cpu_usage": {}}, "blkio_stats": {}}) is None
    assert read_usage({}) is None


def test_a_sample_that_lacks_something_is_none() -> None:
    for shown in ({"memory_stats": {"usage": 1}, "cpu_stats": {"system_cpu_usage": 1}}, {"memory_stats": 3}):
        assert read_usage(shown) is None
