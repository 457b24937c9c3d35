"""The end of what is old: calls with all that belongs to them; results and logs before that, if they are kept shorter.

By the time a call ended. One that has not ended stays, however old it is. A result or log that was written late (its
worker could not reach Postgres) may be behind those that were looked at, and goes with its call at the latest.
"""

from datetime import datetime

from common.store.database import OnDatabase
from common.store.queries import query
from common.store.upkeep import Pruned

DAY_S = 86400.0
# Much longer than it takes to store a call, from the look at its revision to the commit.
REVISION_RETIRED_S = 900.0
REVISIONS_TIMEOUT_S = 60.0  # to look for calls that refer to them reads every call


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

    async def retire_revisions(self, limit: int) -> int:
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(query("retire_revisions"), REVISION_RETIRED_S, limit)
        return count

    async def prune_revisions(self, limit: int) -> int:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                query("find_unused_revisions"), REVISION_RETIRED_S, limit, timeout=REVISIONS_TIMEOUT_S
            )
            ids = [row["id"] for row in rows]
            if not ids:
                return 0
            count: int = await connection.fetchval(query("remove_revisions"), REVISION_RETIRED_S, ids)
        return count

    async def _prune(self, sql: str, *arguments: object) -> Pruned:
        async with self._database.connection() as connection:
            (row,) = await connection.fetch(sql, *arguments)
        return Pruned(**row)
