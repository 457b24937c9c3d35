"""The end of what is old: calls with all that belongs to them; results and logs before that, if they are kept shorter.

By the time a call ended. One that has not ended stays, however old it is. A result or log that was written late (its
worker could not reach Postgres) may be behind those that were looked at, and goes with its call at the latest.
"""

from datetime import datetime

from common.store.database import OnDatabase
from common.store.queries import query
from common.store.upkeep import Pruned

DAY_S = 86400.0


class Retention(OnDatabase):
    """Deletes by age. The promises stand in Upkeep."""

    async def prune_calls(self, limit: int) -> int:
        keep_s = self._settings.calls_keep_days * DAY_S
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(query("prune_calls"), keep_s, limit)
        return count

    async def prune_results(self, after: datetime, limit: int) -> Pruned:
        keep_s = self._settings.results_keep_days * DAY_S
        return await self._prune(query("prune_results"), keep_s, after, limit)

    async def prune_logs(self, after: datetime, limit: int) -> Pruned:
        keep_s = self._settings.logs_keep_days * DAY_S
        return await self._prune(query("prune_logs"), keep_s, after, limit)

    async def _prune(self, sql: str, *arguments: object) -> Pruned:
        async with self._database.connection() as connection:
            (row,) = await connection.fetch(sql, *arguments)
        return Pruned(**row)
