"""PostgresStore: the one Datastore and LogStore, put together from its parts. Holds no SQL and no rule of its own."""

from typing import Self

from asyncpg import Pool

from common.settings import Settings
from common.store.apps import Apps
from common.store.backlog import Backlog
from common.store.calls import Calls
from common.store.cancels import Cancels
from common.store.database import Database
from common.store.logs import Logs
from common.store.queries import query
from common.store.queues import Queues
from common.store.retention import Retention
from common.store.retries import Retries
from common.store.routes import Routes
from common.store.runs import Runs
from common.store.tokens import Tokens
from common.store.turns import Turns
from common.store.workers import Workers


class PostgresStore(
    Apps, Routes, Calls, Cancels, Retries, Runs, Logs, Workers, Queues, Tokens, Turns, Backlog, Retention
):
    """The record of everything. Made by `open`, given back by `aclose`; safe to use from many tasks."""

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Connect to ``database_url``, bring its schema to this version's, open the pool.

        Raises StoreUnavailableError, ServerUnusableError, SchemaTooNewError, SchemaChangedError, and SettingsError for
        a bad address.
        """
        return cls(await Database.open(settings.database_url, settings.database_pool_max), settings)

    async def check(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("check"))

    def get_database(self) -> Pool:
        return self._database.pool

    async def aclose(self) -> None:
        await self._database.aclose()
