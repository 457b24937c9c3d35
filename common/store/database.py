"""The pool of connections, and the one place where trouble of Postgres becomes StoreUnavailableError.

Knows no table. Connections keep no state between two uses, so nothing is reset when they come back.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Self
from uuid import UUID

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from common.errors import StoreUnavailableError
from common.settings import Settings
from common.store import server
from common.store.migrate import migrate
from common.store.seats import Seats
from common.store.server import PostgresServer, is_full, is_wrong
from common.telemetry.reach import Reach

ACQUIRE_TIMEOUT_S = 10.0  # also the limit of giving one back
SLOWEST_BYTES_PER_S = 1024 * 1024  # of a way that large values are sent on
CLOSE_TIMEOUT_S = 5.0
GIVE_UP_TIMEOUT_S = 1.0
IDLE_S = 10.0  # how long a connection is kept unused: another process may need it, where they are few
FULL_RETRY_S = 0.2  # while the server has no connection for us at all
_JSONB_VERSION = b"\x01"

Connection = asyncpg.Connection | PoolConnectionProxy

_MISUSED = (
    asyncpg.DataError,
    asyncpg.ClientConfigurationError,
    asyncpg.UnsupportedClientFeatureError,
)
# A prepared statement that is not there, or is there already: this session was another's before.
_OF_ANOTHER_SESSION = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_AWAY = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InsufficientPrivilegeError,  # taken away while we run
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCachedStatementError,  # a later version migrated in mid-transaction; next time it is prepared anew
    asyncpg.InvalidCatalogNameError,
    asyncpg.LockNotAvailableError,
    *_OF_ANOTHER_SESSION,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
    asyncpg.TransactionRollbackError,
)


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Raise StoreUnavailableError, with the cause, for whatever says that Postgres can't serve now.

    A use that is cancelled while its connection is cut ends in a transaction that can't be rolled back: that error
    would take the place of the CancelledError, and whoever was cancelled would go on.
    """
    cancels = _cancels()
    try:
        yield
    except _MISUSED:
        raise
    except _AWAY as error:
        if _cancels() > cancels:
            raise asyncio.CancelledError from error
        raise StoreUnavailableError from error


@contextmanager
def _opening(server: PostgresServer) -> Iterator[None]:
    """As `away_is_unavailable`, but what waiting would not mend is a ServerUnusableError; both name the server."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if is_wrong(error):
            raise server.unusable(error) from error
        raise StoreUnavailableError(f"Postgres at {server.place} is unavailable") from error


def _cancels() -> int:
    """How often this task was asked to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def time_for(size_bytes: int) -> float:
    """How many seconds a statement may take that carries so many bytes."""
    return server.COMMAND_TIMEOUT_S + size_bytes / SLOWEST_BYTES_PER_S


class Database:
    """A pool on a database whose schema is this version's. Uses raise StoreUnavailableError; waits are bounded."""

    def __init__(self, server: PostgresServer, pool: asyncpg.Pool, size: int) -> None:
        self.pool = pool
        self._server = server
        self._seats = Seats(size)
        self._reach = Reach("postgres")

    @classmethod
    async def open(cls, url: str, pool_max: int = 8) -> Self:
        """Look at the server, migrate, then open the pool.

        Raises SettingsError for a bad *url*, ServerUnusableError, SchemaTooNewError, SchemaChangedError, and
        StoreUnavailableError for a server that is not there yet.
        """
        server = PostgresServer(url)
        with _opening(server):
            connection = await server.connect_first()
            try:
                await migrate(connection)
            finally:
                await connection.close(timeout=CLOSE_TIMEOUT_S)
            pool = await asyncpg.create_pool(
                connect=server.connect,
                min_size=1,
                max_size=pool_max,
                max_inactive_connection_lifetime=IDLE_S,
                init=_set_codecs,
                reset=_keep,
            )
        return cls(server, pool, pool_max)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one statement, or several that need not go together.

        After an answer that came too late no connection is used again: the way to Postgres may be dead, though nothing
        broke off, and to find that out with each would take as long.
        """
        with self._told(), away_is_unavailable():
            connection = await self._acquire()
            try:
                yield connection
            except TimeoutError:
                await _give_up(connection)
                await self.pool.expire_connections()
                raise
            except _OF_ANOTHER_SESSION:  # a pooler came to stand between
                self._server.is_pooled = True
                await self.pool.expire_connections()
                raise
            finally:
                try:
                    await self.pool.release(connection, timeout=ACQUIRE_TIMEOUT_S)
                finally:
                    self._seats.give_back()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell whether Postgres answered. An error of another kind is an answer, too."""
        try:
            yield
        except StoreUnavailableError as error:
            self._reach.failed(error.__cause__)
            raise
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._reach.answered()
            raise
        self._reach.answered()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction: committed at the end, rolled back by any error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def long_transaction(self) -> AsyncIterator[Connection]:
        """A transaction whose user needs other connections beside it. Raises StoreUnavailableError if none is left."""
        self._seats.hold()
        try:
            async with self.transaction() as connection:
                yield connection
        finally:
            self._seats.let_go()

    async def _acquire(self) -> PoolConnectionProxy:
        """A connection of the pool, and a seat for it, in the order of those who ask."""
        async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
            await self._seats.take()
            while True:
                try:
                    return await self.pool.acquire()
                except BaseException as error:
                    if not is_full(error):
                        self._seats.give_back()
                        raise
                    self._seats.refused()
                if self._seats.used == 0:
                    await asyncio.sleep(FULL_RETRY_S)
                await self._seats.take(is_first=True)

    async def aclose(self) -> None:
        """Close the pool: statements under way get a few seconds, then they are cut off."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.pool.close()
        except _AWAY:
            self.pool.terminate()


async def _give_up(connection: Connection) -> None:
    """Have the statement under way cancelled, and close: nobody waits for it, so it must not go on, nor happen later.

    To give the connection back in order would wait for the other side once more, for much longer.
    """
    with suppress(*_AWAY):
        await connection.close(timeout=GIVE_UP_TIMEOUT_S)


class OnDatabase:
    """What stands on a Database: each part of the store is one of these."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings


async def _set_codecs(connection: asyncpg.Connection) -> None:
    """``jsonb`` to and from plain values by msgspec; ``uuid`` to Python's own class, as msgspec encodes no other."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", encoder=_encode_uuid, decoder=_decode_uuid, format="binary"
    )


async def _keep(connection: asyncpg.Connection) -> None:
    """Reset nothing: asyncpg's own reset costs every statement a second round trip."""


def _encode_jsonb(value: object) -> bytes:
    return _JSONB_VERSION + msgspec.json.encode(value)


def _decode_jsonb(data: bytes) -> object:
    return msgspec.json.decode(memoryview(data)[1:])


def _encode_uuid(value: UUID) -> bytes:
    return value.bytes


def _decode_uuid(data: bytes) -> UUID:
    return UUID(bytes=bytes(data))
