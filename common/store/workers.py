"""Incarnations of workers and their heartbeats, told by Postgres's clock; and the identity of the database."""

from uuid import UUID

from common.store.base import UNKNOWN_NETWORK, WorkerNetwork
from common.store.database import OnDatabase
from common.store.machine import MemoryShare, MemoryUse, share
from common.store.queries import query
from common.store.steering import KnownWorker, RunningCall

LATE_BEATS = 2  # a worker that missed so many heartbeats is not shown as live


class Workers(OnDatabase):
    """Who is alive. The promises stand in Datastore."""

    async def register_worker(
        self,
        incarnation: UUID,
        host: str,
        slots: int,
        memory_mb: int,
        network: WorkerNetwork = UNKNOWN_NETWORK,
        machine: str = "",
    ) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                query("register_worker"),
                *(incarnation, host, slots, memory_mb, network.state, network.problem, machine),
            )

    async def share_memory(self, incarnation: UUID, use: MemoryUse) -> MemoryShare | None:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                query("lock_machine"), incarnation, self._settings.heartbeat_stale_s
            )
            others = [
                MemoryUse(
                    machine_mb=row["machine_mb"],
                    has_mb=row["memory_mb"],
                    shares=row["shares_memory"],
                    is_draining=row["is_draining"],
                )
                for row in rows
                if row["incarnation"] != incarnation
            ]
            if len(others) == len(rows):
                return None
            part = share(use, others)
            await connection.execute(
                query("share_memory"),
                *(incarnation, part.has_mb, use.machine_mb, use.shares, part.problem),
            )
        return part

    async def heartbeat(
        self, incarnation: UUID, network: WorkerNetwork = UNKNOWN_NETWORK, *, is_draining: bool = False
    ) -> bool:
        async with self._database.connection() as connection:
            known = await connection.fetchval(
                query("heartbeat"), incarnation, network.state, network.problem, is_draining
            )
        return known is not None

    async def remove_worker(self, incarnation: UUID) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("remove_worker"), incarnation)

    async def prune_workers(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("prune_workers"))

    async def get_workers(self, limit: int, running_limit: int) -> list[KnownWorker]:
        async with self._database.connection() as connection:
            settings = self._settings
            times_s = (settings.heartbeat_stale_s, LATE_BEATS * settings.heartbeat_s)
            workers = await connection.fetch(query("get_workers"), *times_s, limit)
            incarnations = [row["incarnation"] for row in workers]
            rows = await connection.fetch(query("get_running"), incarnations, running_limit)
        running: dict[UUID, list[RunningCall]] = {}
        for row in rows:
            fields = dict(row)
            running.setdefault(fields.pop("incarnation"), []).append(RunningCall(**fields))
        return [KnownWorker(**row, running=tuple(running.get(row["incarnation"], ()))) for row in workers]

    async def live_incarnations(self) -> set[UUID]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("live_incarnations"), self._settings.heartbeat_stale_s)
        return {row["incarnation"] for row in rows}

    async def largest_worker_mb(self) -> int | None:
        async with self._database.connection() as connection:
            memory_mb: int | None = await connection.fetchval(
                query("largest_worker_mb"), self._settings.heartbeat_stale_s
            )
        return memory_mb

    async def live_slots(self) -> int:
        async with self._database.connection() as connection:
            slots: int = await connection.fetchval(query("live_slots"), self._settings.heartbeat_stale_s)
        return slots

    async def installation_id(self) -> UUID:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("installation_id"))
        identity: UUID = rows[0]["id"]
        return identity
