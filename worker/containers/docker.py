"""DockerDriver: the ContainerDriver for a Docker Engine on a Unix socket. Only it and attach.py speak to the engine.

The engine is asked through aiodocker, but for what it has no call for: an unversioned ping, a single sample of
statistics, what a path is, a pull that may be broken off, and the streams (attach.py). A connection is never reused:
the engine's restart between two requests must not look like a failed request. What the engine says goes into
exceptions' causes, never to callers.
"""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Self

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer
from aiodocker.networks import DockerNetwork
from msgspec.structs import replace

from common.engine import EngineError, check_engine, socket_path
from common.errors import ContainerVanishedError, EngineUnavailableError
from common.models import Detail
from common.settings import Settings
from common.telemetry.logs import get_logger
from common.telemetry.reach import Reach
from worker.containers.attach import AttachStream, Line, ReadRate
from worker.containers.driver import (
    ContainerInfo,
    ContainerSpec,
    Exit,
    FailedForNowError,
    Image,
    ImageTooLargeError,
    PullRefusedError,
    RefusedError,
    Usage,
)
from worker.containers.firewall import Firewall
from worker.containers.hostconfig import (
    NETWORK_NAME,
    TMP,
    ContainerLimits,
    container_config,
    volume_paths,
)
from worker.containers.refusals import is_images_fault, is_network_gone, words
from worker.containers.seccomp import profile
from worker.containers.usage import folder_bytes, read_usage

# More starts at a time make each of them slower: the engine does most of it under one lock.
CONCURRENT_STARTS = 4

_ENGINE = "http://engine"  # no name that is looked up: the connector knows only the socket
_QUICK_S = 10.0
_CREATE_S = 30.0
_START_S = 60.0
_REMOVE_S = 30.0
_MEASURE_S = 30.0
_EXIT_S = 10.0
_NO_CONNECTION = 900  # aiodocker's own code
_ANY_ANSWER = range(_NO_CONNECTION)
_BAD_CONFIG = 400
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_STAT_HEADER = "X-Docker-Container-Path-Stat"
_LINK_BIT = 1 << 27  # in the engine's file modes
_ICC_OPTION = "com.docker.network.bridge.enable_icc"
_BRIDGE_OPTION = "com.docker.network.bridge.name"
_BRIDGE_ID_CHARS = 12  # of a network's id, in the name that the engine gives to its bridge
_NETWORK_OPTIONS = {_ICC_OPTION: "false"}

log = get_logger("docker")


class DockerDriver:
    """See ContainerDriver."""

    def __init__(
        self,
        docker: Docker,
        http: aiohttp.ClientSession,
        settings: Settings,
        firewall: Firewall | None,
    ) -> None:
        self._docker = docker
        self._http = http
        self._socket_path = settings.docker_socket
        self._limits = ContainerLimits(
            network=settings.network,
            tmpfs_mb=settings.tmpfs_mb,
            pids_limit=settings.pids_limit,
            cpus=settings.cpus_per_container,
            writable_root_mb=settings.writable_root_mb,
        )
        self._seccomp: str | None = None if settings.seccomp == "millrace" else ""  # None: to be found out
        self._log_max_bytes_per_s = settings.log_max_bytes_per_s
        self._firewall = firewall
        self._reach = Reach("engine")
        self._starts = asyncio.Semaphore(CONCURRENT_STARTS)
        self._plain_volumes: set[str] = set()  # images whose volumes are known to be at no symbolic link

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, firewall: Firewall | None = None) -> AsyncIterator[Self]:
        """A driver for the engine at ``docker_socket``; whether it answers is for ``check``.

        ``check`` sets the rules of *firewall* for the network of the functions.

        Raises SettingsError for an address that is no socket's.
        """
        connector = aiohttp.UnixConnector(socket_path(settings.docker_socket), limit=0, force_close=True)
        async with aiohttp.ClientSession(_ENGINE, connector=connector) as http:
            docker = Docker(_ENGINE, connector=connector, session=http)
            try:
                yield cls(docker, http, settings, firewall)
            finally:
                await docker.close()

    async def check(self) -> None:
        try:
            await self._check()
        except EngineUnavailableError as error:
            self._reach.failed(error.__cause__ or error)
            raise
        self._reach.answered()

    async def _check(self) -> None:
        try:
            await check_engine(self._socket_path)
        except EngineError as error:  # what to do about it is in the cause
            raise EngineUnavailableError from error
        if self._limits.network == "none":  # no route can have one
            return
        networks = await self._own_networks()
        if not networks:
            await self._create_network()
            networks = await self._own_networks()
        # The engine lets two workers make one each at the same time, and then starts nothing by that name.
        for surplus in networks[1:]:
            await self._remove_network(surplus["Id"])
        if networks and (networks[0]["Options"] or {}).get(_ICC_OPTION) != "false":
            raise EngineUnavailableError(
                f"Network {NETWORK_NAME} lets containers reach each other: remove it"
            )
        if networks and self._firewall is not None:
            await self._firewall.guard(_bridge_of(networks[0]))

    async def _own_networks(self) -> list[dict[str, Any]]:
        """Those of our name, oldest first: the first one is the one to keep, for whoever looks."""
        async with _asking(_QUICK_S):
            found = await self._docker.networks.list(filters={"name": [NETWORK_NAME]})
        ours = [network for network in found if network["Name"] == NETWORK_NAME]
        return sorted(ours, key=lambda network: (network["Created"], network["Id"]))

    async def _create_network(self) -> None:
        network = {
            "Name": NETWORK_NAME,
            "Driver": "bridge",
            "CheckDuplicate": True,
            "Options": _NETWORK_OPTIONS,
        }
        with suppress(DockerError):
            async with _asking(_CREATE_S, expect=(409,)):  # another worker was faster
                await self._docker.networks.create(network)

    async def _remove_network(self, network_id: str) -> None:
        with suppress(DockerError):
            async with _asking(_QUICK_S, expect=(403, 404)):  # used by a container that runs, or gone
                await DockerNetwork(self._docker, network_id).delete()  # type: ignore[no-untyped-call]

    async def inspect_image(self, reference: str) -> Image | None:
        try:
            async with _asking(_QUICK_S, expect=(404,)):
                shown = await self._docker.images.inspect(reference)
        except DockerError:
            return None
        return Image(
            id=shown["Id"],
            volumes=tuple((shown.get("Config") or {}).get("Volumes") or ()),
            size_bytes=shown.get("Size") or 0,
        )

    async def pull_image(self, reference: str, max_bytes: int) -> None:
        layers: dict[str, int] = {}
        query = {"fromImage": reference}
        async with (
            _asking(None),
            self._http.post("/images/create", params=query, timeout=_NO_TIMEOUT) as reply,
        ):
            if reply.status != 200:
                raise PullRefusedError(str((await reply.json()).get("message")))
            async for line in reply.content:
                step = json.loads(line)
                if "error" in step:
                    raise PullRefusedError(str(step["error"]))
                layer, total = step.get("id", ""), (step.get("progressDetail") or {}).get("total") or 0
                layers[layer] = max(layers.get(layer, 0), total)
                if sum(layers.values()) > max_bytes:
                    raise ImageTooLargeError

    async def remove_image(self, reference: str) -> bool:
        try:
            async with _asking(_REMOVE_S, expect=(404, 409)):
                await self._docker.images.delete(reference, noprune=True)
        except DockerError as error:
            return error.status == 404
        return True

    async def disk_free_bytes(self) -> int | None:
        root = await self._root()
        try:
            return (await asyncio.to_thread(shutil.disk_usage, root)).free
        except OSError:
            return None

    async def _root(self) -> str:
        """The folder in which the engine keeps all that it has."""
        async with _asking(_QUICK_S):
            return str((await self._docker.system.info()).get("DockerRootDir"))

    async def create(self, spec: ContainerSpec) -> None:
        if spec.writable_root and spec.image.volumes and not self._limits.sees_volumes:
            folder = f"{await self._root()}/volumes"
            sees = await asyncio.to_thread(os.access, folder, os.R_OK | os.X_OK)
            self._limits = replace(self._limits, sees_volumes=sees)
        try:
            await self._healed(partial(self._create, spec))
        except DockerError as error:
            if not (spec.writable_root and self._limits.has_quota and "storage-opt" in error.message):
                raise _not_started(error, "Container could not be created") from error
            # Its size is watched all the same: see DiskWatch.
            self._limits = replace(self._limits, has_quota=False)
            await self.create(spec)
            return
        has_read_only_volumes = not (spec.writable_root and self._limits.sees_volumes)
        if has_read_only_volumes and spec.image.id not in self._plain_volumes:
            await self._check_volumes(spec)
            self._plain_volumes.add(spec.image.id)

    async def _check_volumes(self, spec: ContainerSpec) -> None:
        """Raise RefusedError if a symbolic link leads to a volume: it would not be where it is made read-only."""
        paths = [PurePosixPath(path) for path in volume_paths(spec.image)]
        folders = {folder for path in paths for folder in (path, *path.parents)} - {PurePosixPath("/")}
        for folder in sorted(folders):
            if await self._is_link(spec.name, str(folder)):
                text = f"Image declares a volume at or below {folder}, which is a symbolic link: not allowed"
                raise RefusedError(Detail.START_REFUSED, text)

    async def _is_link(self, container: str, path: str) -> bool:
        url = f"/containers/{container}/archive"
        async with _asking(_QUICK_S), self._http.head(url, params={"path": path}) as reply:
            if reply.status == 404:
                return False
            try:
                stat = json.loads(base64.b64decode(reply.headers[_STAT_HEADER]))
                return bool(stat["mode"] & _LINK_BIT)
            except (KeyError, ValueError, TypeError) as error:
                raise EngineUnavailableError("Container engine does not tell what a path is") from error

    async def _create(self, spec: ContainerSpec) -> None:
        async with self._starts, _asking(_CREATE_S, expect=_ANY_ANSWER):
            config = container_config(spec, self._limits, await self._profile())
            await self._docker.containers.create(config, name=spec.name)

    async def _profile(self) -> str:
        """The seccomp profile to name; empty for an engine that has no seccomp, and would refuse any."""
        if self._seccomp is None:
            options = (await self._docker.system.info()).get("SecurityOptions") or ()
            has_seccomp = any("seccomp" in option for option in options)
            if not has_seccomp:
                log.warning("the container engine has no seccomp: functions may make all system calls")
            self._seccomp = profile() if has_seccomp else ""
        return self._seccomp

    def attach(self, name: str) -> AbstractAsyncContextManager[AttachStream]:
        return AttachStream.open(self._socket_path, name, self._read_rate())

    async def connect(self, name: str, line: Line) -> None:
        await line.open(self._socket_path, name, self._read_rate())

    async def start(self, name: str) -> None:
        try:
            await self._healed(partial(self._start, name))
        except DockerError as error:
            raise _not_started(error, "Container could not be started") from error

    async def _start(self, name: str) -> None:
        async with self._starts, _asking(_START_S, expect=_ANY_ANSWER):
            await self._container(name).start()

    async def _healed(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do *step*; once more, with the network made anew, if it failed because somebody had removed that."""
        try:
            await step()
        except DockerError as error:
            if not is_network_gone(error.message):
                raise
            log.warning("network of the functions is gone, and is made again", network=NETWORK_NAME)
            await self.check()
            await step()

    async def wait(self, name: str) -> int:
        try:
            async with _asking(None, expect=(404,)):
                ended = await self._container(name).wait()
        except DockerError as error:
            raise ContainerVanishedError from error
        return int(ended["StatusCode"])

    async def was_oom_killed(self, name: str) -> bool:
        return bool((await self._state(name))["OOMKilled"])

    async def exit(self, name: str) -> Exit:
        try:
            async with asyncio.timeout(_EXIT_S):
                exit_code = await self.wait(name)
        except TimeoutError as error:
            raise EngineUnavailableError("Container engine broke a stream off") from error
        state = await self._state(name)
        return Exit(
            exit_code=exit_code,
            oom_killed=state["OOMKilled"],
            ended_at=datetime.fromisoformat(state["FinishedAt"]),
        )

    async def _state(self, name: str) -> dict[str, Any]:
        try:
            async with _asking(_QUICK_S, expect=(404,)):
                state: dict[str, Any] = (await self._container(name).show())["State"]
        except DockerError as error:
            raise ContainerVanishedError from error
        if state["Status"] in ("removing", "dead"):
            raise ContainerVanishedError
        return state

    async def pause(self, name: str) -> None:
        with suppress(DockerError):
            async with _asking(_QUICK_S, expect=(404, 409, 500)):  # 20.10 answers 500 if it does not run
                await self._container(name).pause()

    async def unpause(self, name: str) -> None:
        with suppress(DockerError):
            async with _asking(_QUICK_S, expect=(404, 409, 500)):
                await self._container(name).unpause()

    async def kill(self, name: str) -> bool:
        try:
            async with _asking(_QUICK_S, expect=(404, 409)):  # gone, or not running
                await self._container(name).kill()
        except DockerError:
            return False
        return True

    async def usage(self, name: str) -> Usage | None:
        query = {"stream": "false", "one-shot": "true"}
        async with _asking(_QUICK_S), self._http.get(f"/containers/{name}/stats", params=query) as reply:
            return read_usage(await reply.json()) if reply.status == 200 else None

    async def written_bytes(self, container_id: str) -> int:
        url = f"/containers/{container_id}/json"
        async with _asking(_MEASURE_S), self._http.get(url, params={"size": "1"}) as reply:
            shown = await reply.json() if reply.status == 200 else {}
        volumes = [
            mount["Source"]
            for mount in shown.get("Mounts") or ()
            if mount.get("Type") == "volume" and mount.get("RW") and mount.get("Destination") != TMP
        ]
        async with _asking(_MEASURE_S):  # the thread goes on to its end, but nobody waits for it
            in_volumes = [await asyncio.to_thread(folder_bytes, volume) for volume in volumes]
        return (shown.get("SizeRw") or 0) + sum(in_volumes)

    async def remove(self, name_or_id: str) -> None:
        with suppress(DockerError):
            async with _asking(_REMOVE_S, expect=(404, 409)):  # gone, or going already
                await self._container(name_or_id).delete(force=True, v=True)

    async def list(self, labels: dict[str, str]) -> list[ContainerInfo]:
        wanted = [f"{name}={value}" if value else name for name, value in labels.items()]
        async with _asking(_QUICK_S):
            found = await self._docker.containers.list(all=True, filters=json.dumps({"label": wanted}))
        return [ContainerInfo(id=one.id, labels=one["Labels"] or {}) for one in found]

    def _read_rate(self) -> ReadRate:
        return ReadRate(self._log_max_bytes_per_s)

    def _container(self, name_or_id: str) -> DockerContainer:
        return self._docker.containers.container(name_or_id)


def _bridge_of(network: dict[str, Any]) -> str:
    """The name of the network's interface on the engine's machine."""
    return (network["Options"] or {}).get(_BRIDGE_OPTION) or f"br-{network['Id'][:_BRIDGE_ID_CHARS]}"


def _not_started(answer: DockerError, error: str) -> RefusedError | FailedForNowError:
    """Whether the image is at fault, or the engine: a sick one must not end the calls that it is given."""
    text = f"{error}: {words(answer.message)}"
    if answer.status == _BAD_CONFIG or is_images_fault(answer.message):
        return RefusedError(Detail.START_REFUSED, text)
    return FailedForNowError(Detail.START_FAILED, text)


@asynccontextmanager
async def _asking(timeout_s: float | None, *, expect: Collection[int] = ()) -> AsyncIterator[None]:
    """Bound a request. DockerErrors of an expected status pass; whatever else goes wrong is EngineUnavailableError."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (
        TimeoutError,
        aiohttp.ClientError,
        ValueError,
    ) as error:  # ValueError: no JSON, or a line too long
        raise EngineUnavailableError from error
    except DockerError as error:
        if error.status in expect:
            raise
        raise EngineUnavailableError from error
