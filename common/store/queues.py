"""Which queues are paused, for whatever becomes of Redis. Only records it: a queue is told by api/pause.py."""

from common.store.database import OnDatabase
from common.store.queries import query


class Queues(OnDatabase):
    """The record of pauses. The promises stand in Datastore."""

    async def pause_queue(self, queue_name: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("pause_queue"), queue_name)

    async def resume_queue(self, queue_name: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("resume_queue"), queue_name)

    async def is_queue_paused(self, queue_name: str) -> bool:
        async with self._database.connection() as connection:
            is_paused: bool = await connection.fetchval(query("is_queue_paused"), queue_name)
        return is_paused
