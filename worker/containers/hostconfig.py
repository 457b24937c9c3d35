"""How every function container is made: an allow-list of options with constant or typed values.

Safe by default: no capabilities, no new privileges, a read-only root with a sized tmpfs on /tmp, no swap, limits on
memory, processes and files, no log kept by the engine. Nothing from a request, a route or an image is merged in: what
is not written here can't be set. The image keeps its own user, command, working directory and environment.
"""

from typing import Any

from msgspec import Struct

from worker.containers.driver import ContainerSpec

NETWORK_NAME = "millrace"

ENGINE_MIN_MEMORY_MB = 6  # the engine refuses less; a route may ask for it
NOFILE_LIMIT = 1024
OOM_SCORE_ADJ = 500  # the kernel shall take a function before it takes the worker
HOSTNAME = "function"  # the machine's own name is nobody's business
_MB = 1024 * 1024


class ContainerLimits(Struct, frozen=True, kw_only=True):
    """What the operator sets for all containers."""

    network: str
    tmpfs_mb: int
    pids_limit: int


def container_config(spec: ContainerSpec, limits: ContainerLimits) -> dict[str, Any]:
    """The body of the engine's create request."""
    return {
        "Image": spec.image.id,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": spec.labels,
        "Hostname": HOSTNAME,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": False,
        # A function that ends in good order on TERM would pass for one that had finished its work.
        "StopSignal": "SIGKILL",
        "StopTimeout": 1,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host_config(spec, limits),
    }


def host_config(spec: ContainerSpec, limits: ContainerLimits) -> dict[str, Any]:
    """The container's sandbox. Masked and read-only paths are left to the engine: naming none would unmask them all."""
    memory_bytes = max(spec.memory_mb, ENGINE_MIN_MEMORY_MB) * _MB
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": not spec.writable_root,
        "Tmpfs": _tmpfs(spec, limits),
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,
        "PidsLimit": limits.pids_limit,
        "Ulimits": [
            {"Name": "nofile", "Soft": NOFILE_LIMIT, "Hard": NOFILE_LIMIT},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Init": True,
        "LogConfig": {"Type": "none"},
        "NetworkMode": NETWORK_NAME if limits.network == "bridge" else "none",
        "IpcMode": "private",
        "RestartPolicy": {"Name": "no"},
        "OomScoreAdj": OOM_SCORE_ADJ,
    }


def _tmpfs(spec: ContainerSpec, limits: ContainerLimits) -> dict[str, str]:
    """The temporary directory, and a cover for each volume that the image declares: a real one could fill the disk.

    What the image holds under such a path is hidden. Pages of a tmpfs count as the container's memory.
    """
    options = f"rw,nosuid,nodev,size={limits.tmpfs_mb}m,mode=1777"
    return dict.fromkeys(("/tmp", *spec.image.volumes), options)  # noqa: S108 - the container's own
