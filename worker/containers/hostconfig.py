"""How every function container is made: an allow-list of options with constant or typed values.

Safe by default: no capabilities, no new privileges, a read-only root (and with it the image's volumes) with a sized
tmpfs on /tmp, no swap, limits on memory, CPU, processes and files, no log kept by the engine. Nothing from a request, a
route or an image is merged in, but the paths of an image's volumes, to make them read-only: what is not written here
can't be set. The image keeps its own user, command, working directory and environment.
"""

import posixpath
from typing import Any

from msgspec import Struct

from common.models import NETWORK_INTERNET, NETWORK_NONE, Detail
from worker.containers.driver import LABEL_WRITABLE, OWN_LABELS, ContainerSpec, Image, RefusedError

NETWORK_NAME = "millrace"

ENGINE_MIN_MEMORY_MB = 6  # the engine refuses less; a route may ask for it
NOFILE_LIMIT = 1024
CPU_PERIOD_US = 100_000
CPU_QUOTA_MIN_US = 1000  # the engine refuses less
OOM_SCORE_ADJ = 500  # the kernel shall take a function before it takes the worker
HOSTNAME = "function"  # the machine's own name is nobody's business
TMP = "/tmp"  # noqa: S108 - the container's own
_MB = 1024 * 1024
MAX_VOLUMES = 32
MAX_VOLUME_DEPTH = 16  # each folder on the way to a volume is looked at: see DockerDriver
_KERNEL_FOLDERS = ("proc", "sys", "dev")
# Each begins with the engine's own list, which naming any path replaces. Paths that do not exist are skipped.
_MASKED_PATHS = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
    # What else tells of the kernel's memory and of the machine, and is for its administrator.
    *("/proc/buddyinfo", "/proc/config.gz", "/proc/iomem", "/proc/ioports", "/proc/kallsyms", "/proc/kmsg"),
    *("/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/modules", "/proc/pagetypeinfo"),
    *("/proc/slabinfo", "/proc/vmallocinfo", "/proc/zoneinfo", "/sys/kernel/debug", "/sys/kernel/security"),
    *("/sys/kernel/slab", "/sys/kernel/tracing"),
)
_READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class ContainerLimits(Struct, frozen=True, kw_only=True):
    """What the operator sets for all containers."""

    network: str
    tmpfs_mb: int
    pids_limit: int
    writable_root_mb: int
    has_quota: bool = True  # whether the engine can limit a writable root itself
    sees_volumes: bool = False  # whether the size of volumes can be measured: else none is writable
    cpus: float  # 0: no limit


def container_config(spec: ContainerSpec, limits: ContainerLimits, seccomp: str = "") -> dict[str, Any]:
    """The body of the engine's create request. *seccomp* is a profile; empty: the engine's own."""
    return {
        "Image": spec.image.id,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        # An image's labels become its container's, unless the container has them: all of ours are set, empty ones too.
        "Labels": dict.fromkeys(OWN_LABELS, "")
        | spec.labels
        | {LABEL_WRITABLE: "1" if spec.writable_root else ""},
        "Hostname": HOSTNAME,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": False,
        # A function that ends in good order on TERM would pass for one that had finished its work. Killed, it shows:
        # signalled, exit code 137. Whether it killed itself can't be told from that, so it is no reason to try again.
        "StopSignal": "SIGKILL",
        "StopTimeout": 1,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host_config(spec, limits, seccomp),
    }


def host_config(spec: ContainerSpec, limits: ContainerLimits, seccomp: str) -> dict[str, Any]:
    """The container's sandbox."""
    memory_bytes = max(spec.memory_mb, ENGINE_MIN_MEMORY_MB) * _MB
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", *([f"seccomp={seccomp}"] if seccomp else [])],
        "MaskedPaths": list(_MASKED_PATHS),
        "ReadonlyRootfs": not spec.writable_root,
        "Mounts": [_tmp(limits)],
        **_volumes(spec, limits),
        **_quota(spec, limits),
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,
        # Not NanoCpus: the engine refuses one that is more than the machine has.
        "CpuPeriod": CPU_PERIOD_US if limits.cpus else 0,
        "CpuQuota": max(CPU_QUOTA_MIN_US, round(limits.cpus * CPU_PERIOD_US)) if limits.cpus else 0,
        "PidsLimit": limits.pids_limit,
        "Ulimits": [
            {"Name": "nofile", "Soft": NOFILE_LIMIT, "Hard": NOFILE_LIMIT},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Init": True,
        "LogConfig": {"Type": "none"},
        "NetworkMode": _network(spec, limits),
        "IpcMode": "private",
        "RestartPolicy": {"Name": "no"},
        "OomScoreAdj": OOM_SCORE_ADJ,
    }


def _network(spec: ContainerSpec, limits: ContainerLimits) -> str:
    """Which network of the engine it joins. Raises RefusedError if the operator gives functions none."""
    if spec.network == NETWORK_INTERNET and limits.network == "none":
        raise RefusedError(
            Detail.NETWORK_NOT_ALLOWED,
            "The route asks for network: internet, which this worker does not allow (MILLRACE_NETWORK=none)",
        )
    wanted = spec.network or (NETWORK_INTERNET if limits.network == "bridge" else NETWORK_NONE)
    return NETWORK_NAME if wanted == NETWORK_INTERNET else "none"


def _tmp(limits: ContainerLimits) -> dict[str, Any]:
    """A tmpfs of our own size that every user may write to, as an anonymous volume: removed with the container.

    Not the engine's own kind of tmpfs: some runtimes give that the mode of the image's /tmp, whatever is asked for, and
    then only root may be able to write there. Its pages count as the container's memory all the same.
    """
    options = f"nosuid,nodev,noexec,size={limits.tmpfs_mb}m,mode=1777"
    driver = {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs", "o": options}}
    return {
        "Type": "volume",
        "Target": TMP,
        "VolumeOptions": {"NoCopy": True, "DriverConfig": driver},
    }


def _quota(spec: ContainerSpec, limits: ContainerLimits) -> dict[str, Any]:
    if not (spec.writable_root and limits.has_quota):
        return {}
    return {"StorageOpt": {"size": f"{limits.writable_root_mb}m"}}


def _volumes(spec: ContainerSpec, limits: ContainerLimits) -> dict[str, Any]:
    """What is to be said of the volumes that the image declares.

    The engine makes an anonymous one of each by itself, with what the image holds there and whose it is. Such a volume
    has no size: one could fill the disk. So it is as read-only as the root is. Naming it as a mount could not say that:
    the engine knows no read-only anonymous volumes.
    """
    volumes = volume_paths(spec.image)
    if not volumes or (spec.writable_root and limits.sees_volumes):
        return {}
    return {"ReadonlyPaths": [*_READ_ONLY_PATHS, *volumes]}


def volume_paths(image: Image) -> list[str]:
    """Where the engine mounts the volumes that *image* declares, /tmp left out: absolute paths without ``..``.

    Raises RefusedError for a path that can't be kept read-only, for more volumes than MAX_VOLUMES, and for one deeper
    than MAX_VOLUME_DEPTH.
    """
    paths = {_absolute(path) for path in image.volumes if not _is_tmp(path)}
    if len(image.volumes) > MAX_VOLUMES:
        raise RefusedError(
            Detail.START_FAILED,
            f"Image declares {len(image.volumes)} volumes, the most is {MAX_VOLUMES}",
        )
    for path in paths:
        if path.count("/") > MAX_VOLUME_DEPTH:
            raise RefusedError(
                Detail.START_FAILED,
                f"Image declares a volume {path.count('/')} folders deep, the most is {MAX_VOLUME_DEPTH}",
            )
        if path == "/" or path.split("/")[1] in _KERNEL_FOLDERS:
            raise RefusedError(
                Detail.START_FAILED, f"Image declares a volume at {path}, which is not allowed"
            )
    return sorted(paths)


def _absolute(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _is_tmp(path: str) -> bool:
    """Whether the engine takes it for our own /tmp, and makes no volume. It does not for a relative path."""
    return path.startswith("/") and _absolute(path) == TMP
