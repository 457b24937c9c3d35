"""What the worker asks of a container engine, in the worker's own words. docker.py is the one implementation.

Platform trouble is an exception from common.errors: EngineUnavailableError when the engine does not answer in time,
ContainerVanishedError when a container is gone that should be there. What the engine refuses because of the call
itself (its image, its settings) is a RefusedError, which the executor turns into an outcome. What it fails to do and
may do later is a FailedForNowError, of which nobody can say whose fault it is. Nothing else comes out.
"""

import secrets
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from common.errors import EngineUnavailableError
from common.models import Detail
from worker.containers.attach import AttachStream, Line

# Labels of every function container: who may remove it, and what it runs.
LABEL_INCARNATION = "millrace"
LABEL_INSTALLATION = "millrace.installation"
LABEL_CALL = "millrace.call"
LABEL_TOKEN = "millrace.token"  # noqa: S105 - the name of a label
LABEL_APP = "millrace.app"
LABEL_PATH = "millrace.path"
LABEL_HOT = "millrace.hot"  # the container's own name, if it is one of the pool's
LABEL_WRITABLE = "millrace.writable"  # 1 if its root is
OWN_LABELS = (
    LABEL_INCARNATION,
    LABEL_INSTALLATION,
    LABEL_CALL,
    LABEL_TOKEN,
    LABEL_APP,
    LABEL_PATH,
    LABEL_HOT,
    LABEL_WRITABLE,
)


def new_container_name() -> str:
    """A random name. Other containers on the bridge can learn it from the engine's DNS, so it tells nothing."""
    return f"millrace-{secrets.token_hex(12)}"


class RefusedError(Exception):
    """The engine answered, and will not run this call. *error* may hold its words, which only admins are shown."""

    def __init__(self, detail: Detail, error: str) -> None:
        super().__init__(error)
        self.detail = detail
        self.error = error


class FailedForNowError(EngineUnavailableError):
    """The engine answered, and could not: it may be sick, or a registry, or this call's image may be odd.

    To be tried again, a bounded number of times; *detail* and *error* are for the caller, once that is used up.
    """

    def __init__(self, detail: Detail, error: str) -> None:
        super().__init__(error)
        self.detail = detail
        self.error = error


class PullRefusedError(Exception):
    """The engine could not get an image. The text is the engine's: for the worker's log only."""


class ImageTooLargeError(Exception):
    """An image has more bytes than is allowed."""


class Image(Struct, frozen=True, kw_only=True):
    """An image that is here. ``id`` is its content's hash: unlike a tag, it can't come to mean something else."""

    id: str
    volumes: tuple[str, ...] = ()
    size_bytes: int = 0


class ContainerSpec(Struct, frozen=True, kw_only=True):
    """All that may differ between function containers; everything else is constant."""

    name: str
    image: Image
    env: dict[str, str]
    labels: dict[str, str]
    memory_mb: int
    writable_root: bool
    network: str = ""  # NETWORK_NONE, NETWORK_INTERNET, or empty for the operator's default


class Exit(Struct, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int
    oom_killed: bool
    ended_at: datetime  # by the engine's clock


class ContainerInfo(Struct, frozen=True, kw_only=True):
    """A container as a listing shows it."""

    id: str
    labels: dict[str, str]


class Usage(Struct, frozen=True, kw_only=True):
    """What a container has used so far: bytes, and nanoseconds of CPU; ``system_cpu_ns`` is the whole machine's."""

    net_rx: int
    net_tx: int
    mem_limit: int
    mem_usage: int
    disk_read: int
    disk_write: int
    cpu_user_ns: int
    cpu_kernel_ns: int
    cpu_total_ns: int
    system_cpu_ns: int
    cpus: int


class ContainerDriver(Protocol):
    """One engine. Containers are named by us before they exist, so that a lost reply never loses a container.

    Every method but ``wait`` and ``pull_image`` is bounded in time. All are safe to cancel; what the engine was asked
    for may still happen then.
    """

    async def check(self) -> None:
        """Return if the engine can run calls now: it answers, and the network for containers exists."""
        ...

    async def inspect_image(self, reference: str) -> Image | None:
        """The image, or None if it is not here."""
        ...

    async def pull_image(self, reference: str, max_bytes: int) -> None:
        """Fetch the image. Raises PullRefusedError with the engine's words. Not bounded in time.

        Raises ImageTooLargeError as soon as its layers, compressed, are known to have more than *max_bytes*.
        """
        ...

    async def remove_image(self, reference: str) -> bool:
        """Take this name from its image, and remove the image with its last name; False if a container uses it."""
        ...

    async def disk_free_bytes(self) -> int | None:
        """What is free where the engine keeps images; None if that can't be seen from here."""
        ...

    async def create(self, spec: ContainerSpec) -> None:
        """Create the container. Raises RefusedError if the engine will not, FailedForNowError if it can't."""
        ...

    def attach(self, name: str) -> AbstractAsyncContextManager[AttachStream]:
        """Its three streams. Attach before start: nothing that it prints is lost then."""
        ...

    async def connect(self, name: str, line: Line) -> None:
        """Open *line* to a container that stays; it is the caller's to close."""
        ...

    async def start(self, name: str) -> None:
        """Start it; it runs when this returns. Raises what create raises."""
        ...

    async def wait(self, name: str) -> int:
        """Wait until a started container has exited, for as long as it takes; its exit code."""
        ...

    async def was_oom_killed(self, name: str) -> bool:
        """Whether the kernel killed something in the exited container for want of memory."""
        ...

    async def exit(self, name: str) -> Exit:
        """How a container ended that has ended, or is about to: EngineUnavailableError if it runs on for seconds.

        Raises ContainerVanishedError if it was removed meanwhile.
        """
        ...

    async def pause(self, name: str) -> None:
        """Freeze it; nothing happens if it does not run, or not any more."""
        ...

    async def unpause(self, name: str) -> None:
        """Let it run again; nothing happens if it is not paused, or gone."""
        ...

    async def kill(self, name: str) -> bool:
        """SIGKILL; False, and nothing happens, if it does not run any more."""
        ...

    async def usage(self, name: str) -> Usage | None:
        """What it has used so far, None if it does not run."""
        ...

    async def written_bytes(self, container_id: str) -> int:
        """What it wrote to its root, and holds in its image's volumes; 0 if it is gone. Takes longer the more it is."""
        ...

    async def remove(self, name_or_id: str) -> None:
        """Kill and remove it with its anonymous volumes; nothing happens if it does not exist."""
        ...

    async def list(self, labels: dict[str, str]) -> list[ContainerInfo]:
        """All containers, running or not, that carry these labels; an empty value stands for any."""
        ...
