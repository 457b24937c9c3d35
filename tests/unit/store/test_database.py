import asyncpg
import pytest

from common.errors import CallNotFoundError, StoreUnavailableError
from common.store.database import away_is_unavailable


@pytest.mark.parametrize(
    "trouble",
    [
        TimeoutError(),
        ConnectionRefusedError(),
        OSError("no route"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("unexpected message"),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.QueryCanceledError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.DiskFullError(),
        asyncpg.InvalidPasswordError(),
        asyncpg.InvalidCatalogNameError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
        asyncpg.LockNotAvailableError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_trouble_of_postgres_is_unavailability_with_its_cause(trouble: Exception) -> None:
    with pytest.raises(StoreUnavailableError) as caught, away_is_unavailable():
        raise trouble
    assert caught.value.__cause__ is trouble


@pytest.mark.parametrize(
    "mistake",
    [
        asyncpg.DataError("invalid input for query argument"),
        asyncpg.UndefinedTableError(),
        asyncpg.CheckViolationError(),
        ValueError(),
        CallNotFoundError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_mistakes_stay_what_they_are(mistake: Exception) -> None:
    with pytest.raises(type(mistake)) as caught, away_is_unavailable():
        raise mistake
    assert caught.value is mistake
