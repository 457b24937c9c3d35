"""Connections to the one Redis that may be written to: by address or by asking Sentinel; deadlines; the queue's errors.

It knows nothing of calls. What it can't reach in time it gives up, and then drops every idle connection: after a
failover or behind a dead network path the others are as bad. An operation that is cancelled drops its own.
"""

import asyncio
import random
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.errors import QueueFullError, QueueUnavailableError
from common.queue.server import RedisServer
from common.telemetry.reach import Reach

CONNECT_S = 2.0
SENTINEL_S = 0.5  # for each sentinel that is asked
REPLY_S = 3.0  # with the time to connect; asked twice at most
MAX_CONNECTIONS = 32
RECONNECT_FIRST_S = 0.1
RECONNECT_MAX_S = 2.0

# Redis 7 answers OOM and READONLY, 6.2 puts them inside a script's error: only these words are in both.
OUT_OF_MEMORY = "command not allowed when used memory"
READ_ONLY = "READONLY"  # what was the master is now a replica

UNREACHABLE = (RedisError, OSError, TimeoutError)
LOST = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)


class RedisLink:
    """Two pools of one Redis: a blocking wait can't share a connection, and must not keep one from a command."""

    def __init__(self, url: str) -> None:
        """Does not connect. Raises SettingsError for an address that isn't one."""
        self.server = RedisServer(url)
        self._reach = Reach("redis")
        self._pools = (_pool(self.server), _pool(self.server))
        self.commands, self.waits = (Redis.from_pool(pool) for pool in self._pools)

    async def reach(self, operation: Callable[[], Awaitable[Any]], *, again: bool = True) -> Any:
        """Await *operation* in time; once more if *again* and it did not reach a writable Redis.

        Raises QueueFullError when Redis has no memory left, else QueueUnavailableError."""
        try:
            return await self._told(operation)
        except UNREACHABLE as error:
            if not (await self._drop_if_lost(error) and again):
                raise self._error(error) from error
        try:
            return await self._told(operation)
        except UNREACHABLE as error:
            await self._drop_if_lost(error)
            raise self._error(error) from error

    async def _told(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        answer = await _in_time(operation)
        self._reach.answered()
        return answer

    def _error(self, error: BaseException) -> QueueFullError | QueueUnavailableError:
        found = _queue_error(error)
        if isinstance(found, QueueUnavailableError):
            self._reach.failed(error)
        return found

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[AbstractConnection]:
        """A connection for one that listens, closed at the end. Raises one of UNREACHABLE if there is none in time."""
        pool = self._pools[1]
        async with asyncio.timeout(REPLY_S):
            connection = await pool.get_connection()
        try:
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def drop_idle(self) -> None:
        """Close every connection that is not in use; the next operation opens a new one."""
        for pool in self._pools:
            await pool.drop_idle()

    async def aclose(self) -> None:
        """Close all connections; bounded."""
        with suppress(*UNREACHABLE):
            async with asyncio.timeout(REPLY_S):
                for pool in self._pools:
                    await pool.aclose()

    async def _drop_if_lost(self, error: BaseException) -> bool:
        is_lost = isinstance(error, LOST) or READ_ONLY in str(error)
        if is_lost:
            await self.drop_idle()
        return is_lost


class Reconnects:
    """The pauses of one that listens for ever, before it connects again: longer each time, until `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pause_s = RECONNECT_FIRST_S

    async def pause(self) -> None:
        """Random, so that many listeners don't come back at once."""
        await asyncio.sleep(random.uniform(self._pause_s / 2, self._pause_s))  # noqa: S311 - no secret
        self._pause_s = min(2 * self._pause_s, RECONNECT_MAX_S)


class NotConnectedError(RedisConnectionError):
    """There was no connection, so nothing was sent."""


class _Pool(BlockingConnectionPool):
    async def get_connection(self, *args: Any, **options: Any) -> AbstractConnection:
        """Raises NotConnectedError if there is none."""
        try:
            connection: AbstractConnection = await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise NotConnectedError(str(error)) from error
        return connection

    async def drop_idle(self) -> None:
        """Waits for nothing: the other side may be gone."""
        idle, self._available_connections = self._available_connections, []
        for connection in idle:
            await connection.disconnect(nowait=True)


class _Sentinels:
    """Where the master is, by the first sentinel that answers; that one is asked first from then on."""

    def __init__(self, addresses: list[tuple[str, int]], master_name: str) -> None:
        self._master_name = master_name
        self._clients = [
            Redis(host=host, port=port, retry=Retry(NoBackoff(), 0), decode_responses=True, protocol=2)
            for host, port in addresses
        ]

    async def master_address(self) -> tuple[str, int]:
        """Raises MasterNotFoundError when none of them knows one."""
        for client in list(self._clients):
            try:
                async with asyncio.timeout(SENTINEL_S):
                    found: Any = await client.sentinel_get_master_addr_by_name(self._master_name)
            except UNREACHABLE:
                continue
            if found is not None:
                self._clients.remove(client)
                self._clients.insert(0, client)
                host, port = found
                return str(host), int(port)
        raise MasterNotFoundError(f"no sentinel answers with the address of {self._master_name!r}")

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()


class _SentinelPool(_Pool):
    """Each new connection asks where the master is; connections to another one are dropped."""

    # What SentinelManagedConnection asks of its pool.
    is_master = True
    check_connection = False

    def __init__(self, sentinels: _Sentinels, **options: Any) -> None:
        super().__init__(connection_class=SentinelManagedConnection, **options)
        self.connection_kwargs["connection_pool"] = weakref.proxy(self)
        self._sentinels = sentinels
        self._address: tuple[str, int] | None = None

    async def get_master_address(self) -> tuple[str, int]:
        address = await self._sentinels.master_address()
        if address != self._address:
            self._address = address
            await self.drop_idle()
        return address

    async def aclose(self) -> None:
        await super().aclose()
        await self._sentinels.aclose()


def _pool(server: RedisServer) -> _Pool:
    """No socket_timeout: redis-py would write under asyncio.wait_for, which can lose a cancellation on Python 3.11. The
    deadline of every operation is `_in_time`'s."""
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": None,
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": None,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),  # redis-py would repeat a reserve too
        "decode_responses": False,
        "protocol": 2,
        **server.options,
    }
    if "path" not in options:
        options["socket_keepalive"] = True
    if server.sentinels:
        return _SentinelPool(_Sentinels(server.sentinels, server.master), **options)
    return _Pool(connection_class=server.connection_class, **options)


async def _in_time(operation: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(REPLY_S):
        return await operation()


def _queue_error(error: BaseException) -> QueueFullError | QueueUnavailableError:
    if OUT_OF_MEMORY in str(error):
        return QueueFullError()
    was_refused = isinstance(error, NotConnectedError | ResponseError | BusyLoadingError)
    return QueueUnavailableError(may_have_happened=not was_refused)
