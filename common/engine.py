"""Where Docker Engine listens, and why it can't be used: one answer for worker, `millrace up` and deploy/setup.sh.

The address is MILLRACE_DOCKER_SOCKET, else DOCKER_HOST, else the current Docker context's, else DEFAULT_SOCKET: the
order of the docker command, after our own setting. Only Unix sockets are supported.
"""

import asyncio
import grp
import hashlib
import os
import pwd
import shutil
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from common.errors import FatalError, SettingsError

DEFAULT_SOCKET = "/var/run/docker.sock"
SETTING = "MILLRACE_DOCKER_SOCKET"
OLDEST_API, OLDEST_RELEASE = (1, 41), "20.10"
ANSWER_S = 10.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"

T = TypeVar("T")

_UNIX = "unix://"
_NAMED_BY = f"the address is {SETTING}, else DOCKER_HOST, else the docker context's"


class Trouble(StrEnum):
    """Why the engine can't be used."""

    NOT_INSTALLED = "not_installed"
    NOT_RUNNING = "not_running"
    OTHER = "other"


class EngineError(FatalError):
    """Docker Engine can't be used. The text says why, and what to do."""

    slug = "engine_unusable"
    default_message = "Docker Engine can't be used"

    def __init__(self, message: str, trouble: Trouble = Trouble.OTHER) -> None:
        super().__init__(message)
        self.trouble = trouble


class _Endpoint(msgspec.Struct):
    Host: str = ""


class _Context(msgspec.Struct):
    Endpoints: dict[str, _Endpoint] = {}


class _DockerConfig(msgspec.Struct):
    currentContext: str = ""  # noqa: N815  (Docker's name)


class _Version(msgspec.Struct):
    ApiVersion: str


def engine_address(environ: Mapping[str, str]) -> str:
    """Where the engine listens: the path of a socket, or an address that ``socket_path`` refuses."""
    address = environ.get(SETTING) or environ.get("DOCKER_HOST") or _context_host(environ) or DEFAULT_SOCKET
    return address.removeprefix(_UNIX) if address.startswith(_UNIX + "/") else address


def socket_path(address: str) -> str:
    """Return *address* if it is the path of a socket. Raises SettingsError for any other address."""
    if not address.startswith("/"):
        raise SettingsError(
            f"Docker Engine at {address!r} is not supported, only one on a Unix socket ({_NAMED_BY}): "
            f"set {SETTING} to the path of its socket",
            field=SETTING,
        )
    return address


async def check_engine(path: str) -> None:
    """Ask the engine at *path* for its version. Raises EngineError."""
    connector = aiohttp.UnixConnector(path, force_close=True)
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            aiohttp.ClientSession("http://engine", connector=connector) as session,
            session.get("/version") as reply,
        ):
            answer = await reply.read()
    except aiohttp.ClientConnectorError as error:
        raise _not_reached(path, error.os_error) from error
    except TimeoutError as error:
        raise EngineError(f"Docker Engine at {path} does not answer within {ANSWER_S:.0f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise _no_engine(path) from error
    try:
        version = msgspec.json.decode(answer, type=_Version).ApiVersion
        numbers = tuple(int(number) for number in version.split("."))
    except (msgspec.MsgspecError, ValueError) as error:
        raise _no_engine(path) from error
    if numbers < OLDEST_API:
        raise EngineError(
            f"Docker Engine at {path} is too old: its API is {version}, and Docker {OLDEST_RELEASE} or later is needed"
        )


def _context_host(environ: Mapping[str, str]) -> str:
    """The address in the current Docker context, as `docker context use` leaves it; empty without one."""
    home = environ.get("DOCKER_CONFIG") or (f"{environ['HOME']}/.docker" if environ.get("HOME") else "")
    if not home:
        return ""
    with suppress(OSError, msgspec.MsgspecError):
        name = environ.get("DOCKER_CONTEXT") or _read(Path(home, "config.json"), _DockerConfig).currentContext
        if name and name != "default":
            folder = hashlib.sha256(os.fsencode(name)).hexdigest()
            context = _read(Path(home, "contexts", "meta", folder, "meta.json"), _Context)
            return context.Endpoints.get("docker", _Endpoint()).Host
    return ""


def _read(path: Path, shape: type[T]) -> T:
    return msgspec.json.decode(path.read_bytes(), type=shape)


def _not_reached(path: str, error: OSError) -> EngineError:
    if isinstance(error, PermissionError):
        return _denied(path)
    if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return EngineError(f"Docker Engine at {path} can't be reached: {error.strerror}")
    if path != DEFAULT_SOCKET:
        return EngineError(f"no Docker Engine listens at {path} ({_NAMED_BY})")
    if not (shutil.which("dockerd") or shutil.which("dockerd", path=SYSTEM_PATH)):
        return EngineError(
            "Docker Engine is not installed: sudo apt-get install docker.io iptables", Trouble.NOT_INSTALLED
        )
    return EngineError(
        f"Docker Engine is not running, nothing listens at {path}: sudo systemctl start docker",
        Trouble.NOT_RUNNING,
    )


def _denied(path: str) -> EngineError:
    user, group = str(os.geteuid()), "docker"
    with suppress(KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
    with suppress(KeyError, OSError):
        group = grp.getgrgid(Path(path).stat().st_gid).gr_name
    refused = f"Docker Engine is there, but the user {user} has no permission to use {path}"
    with suppress(KeyError):
        if user in grp.getgrnam(group).gr_mem:
            return EngineError(
                f"{refused}: {user} is in the group {group} since its last log-in, so log in again"
            )
    if group == "root":
        return EngineError(f"{refused}, which is root's alone")
    return EngineError(f"{refused}: sudo usermod -aG {group} {user}, then log in again")


def _no_engine(path: str) -> EngineError:
    return EngineError(f"what listens at {path} does not answer as Docker Engine does ({_NAMED_BY})")
