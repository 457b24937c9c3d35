"""The Redis that MILLRACE_REDIS_URL names: by its own address, or by the sentinels that know where the master is.

What the queue depends on (bytes as replies, protocol, deadlines, retries) is no option of the URL.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoPermissionError,
    RedisClusterException,
    ResponseError,
)

from common.addresses import Address, parse_address
from common.errors import ServerUnusableError

VARIABLE = "MILLRACE_REDIS_URL"
PORT = 6379
SENTINEL_PORT = 26379
VERSION_MIN = (6, 2)

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_TLS_CHOICES = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
_NO_SUCH_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)
_WRONG = (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    InvalidResponse,  # what answers is no Redis
    AskError,  # one node of a cluster, which has a part of the keys; MovedError is one
    RedisClusterException,
    ssl.SSLCertVerificationError,
    PermissionError,
)
_WRONG_WORDS = ("DB index is out of range", "unknown command", "NOPERM", "cluster mode", "can't access this")


class RedisServer:
    """How to connect. ``sentinels``, if there are any, are asked where the master called ``master`` is."""

    def __init__(self, url: str) -> None:
        """Does not connect. Raises SettingsError for an address that isn't one."""
        scheme = url.partition("://")[0].lower()
        allowed = ("db", *_TLS_OPTIONS) if scheme == "rediss" else ("db",)
        is_sentinel = scheme == "redis+sentinel"
        address = parse_address(VARIABLE, url, schemes=_SCHEMES, options=allowed, several=is_sentinel)
        self.sentinels = (
            [(host, port or SENTINEL_PORT) for host, port in address.hosts] if is_sentinel else []
        )
        self.master = address.path.strip("/") if is_sentinel else ""
        self.connection_class: type[AbstractConnection] = {
            "rediss": SSLConnection,
            "unix": UnixDomainSocketConnection,
        }.get(address.scheme, Connection)
        database = _database(address)
        self.options: dict[str, Any] = {
            "db": database,
            "username": address.user,
            "password": address.password,
            **_where(address),
            **_tls_options(address),
        }
        where = self.options.get("path") or ",".join(f"{host}:{port}" for host, port in self._hosts(address))
        self.place = f"{where}/{self.master or database}"

    def unusable(self, cause: object) -> ServerUnusableError:
        """The error for a server that is wrong, not away; names it and never the password."""
        text = " ".join(str(cause).split())
        return ServerUnusableError(f"Redis at {self.place} ({VARIABLE}) can't be used: {text}")

    def _hosts(self, address: Address) -> list[tuple[str, int]]:
        return self.sentinels or [(host, port or PORT) for host, port in address.hosts]


def is_wrong(error: BaseException) -> bool:
    """Tell an error that trying again would not mend from one that says: not now."""
    return any(
        isinstance(each, _WRONG)
        or (isinstance(each, socket.gaierror) and each.errno in _NO_SUCH_HOST)
        or (isinstance(each, ResponseError) and any(words in str(each) for words in _WRONG_WORDS))
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _where(address: Address) -> dict[str, Any]:
    if address.scheme == "unix":
        if address.hosts or not address.path.startswith("/"):
            raise address.wrong("it names no socket, like unix://:password@/run/redis.sock")
        return {"path": address.path}
    if not address.hosts:
        raise address.wrong(f"it names no host, like {address.scheme}://host")
    if address.scheme == "redis+sentinel":
        if not address.path.strip("/"):
            raise address.wrong(
                "it ends with the master's name: redis+sentinel://host:26379,host2:26379/name"
            )
        return {}
    ((host, port),) = address.hosts
    return {"host": host, "port": port or PORT}


def _database(address: Address) -> int:
    is_in_path = address.scheme in ("redis", "rediss") and address.path.strip("/")
    text = address.path.strip("/") if is_in_path else address.options.get("db", "0")
    if is_in_path and "db" in address.options:
        raise address.wrong("the database's number stands in the path or in the option db, not in both")
    if not (text.isascii() and text.isdecimal()):
        raise address.wrong("the database is a number, like redis://host:6379/0")
    return int(text)


def _tls_options(address: Address) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: address.options[name] for name in _TLS_OPTIONS if name in address.options
    }
    for name, choices in _TLS_CHOICES.items():
        if options.get(name, choices[0]) not in choices:
            raise address.wrong(f"{name} is one of {', '.join(choices)}")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
    elif options.get("ssl_cert_reqs") == "none":
        options["ssl_check_hostname"] = False
    return options
