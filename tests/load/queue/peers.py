"""The peers as the clients drive them, each by its own functions (field.py says which, and what they leave open).

Each runs in an environment of its own, so its package is imported only when it starts. All are as lean as they can be:
no results are kept, no logs written, connections stay open.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.load.queue.driven import Servers

FUNCTION = "function"
TAKE_S = 2


class Arq:
    """Its Worker starts and finishes the jobs; the run between the two is this client's."""

    def __init__(self, servers: Servers) -> None:
        from arq.connections import ArqRedis
        from redis.asyncio import ConnectionPool

        pool: Any = ConnectionPool.from_url(servers.redis_url)
        self._redis = ArqRedis(pool, default_queue_name=f"arq:{servers.queue}")
        self._workers: dict[int, Any] = {}
        self._started: asyncio.Queue[tuple[Any, str, asyncio.Event]] = asyncio.Queue()

    async def push(self, calls: int) -> None:
        for _ in range(calls):
            await self._redis.enqueue_job(FUNCTION)

    async def take(self, calls: int) -> Sequence[tuple[Any, str, asyncio.Event]]:
        worker = self._workers.get(calls) or self._worker(calls)
        ids = await self._redis.zrangebyscore(
            worker.queue_name,
            min=float("-inf"),
            max=time.time_ns() // 1_000_000,
            start=0,
            num=worker.queue_read_limit,
        )
        await worker.start_jobs(ids)
        started = [await self._started.get() for _ in worker.tasks]
        worker.tasks.clear()
        return started

    async def ack(self, taken: Sequence[tuple[Any, str, asyncio.Event]]) -> None:
        for worker, job_id, finished in taken:
            await worker.finish_job(job_id, True, None, 0, False, None, None)
            finished.set()

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _worker(self, max_jobs: int) -> Any:
        from arq.constants import job_key_prefix, retry_key_prefix
        from arq.worker import Worker, func

        async def run_job(job_id: str, score: int) -> None:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.get(job_key_prefix + job_id)
                pipe.incr(retry_key_prefix + job_id)
                pipe.expire(retry_key_prefix + job_id, 88400)
                await pipe.execute()
            finished = asyncio.Event()
            self._started.put_nowait((worker, job_id, finished))
            await finished.wait()  # start_jobs counts it as running until then

        worker: Any = Worker(
            [func(_nothing, name=FUNCTION)],
            queue_name=self._redis.default_queue_name,
            redis_pool=self._redis,
            max_jobs=max_jobs,
            handle_signals=False,
            keep_result=0,
        )
        worker.run_job = run_job
        self._workers[max_jobs] = worker
        return worker


class Saq:
    """A job that was dequeued is marked active at once, as its worker does: else a sweep would take it away."""

    def __init__(self, servers: Servers) -> None:
        from saq.queue.redis import RedisQueue

        self._queue = RedisQueue.from_url(servers.redis_url, name=servers.queue)

    async def push(self, calls: int) -> None:
        for _ in range(calls):
            await self._queue.enqueue(FUNCTION, ttl=-1)

    async def take(self, calls: int) -> Sequence[Any]:
        from saq.job import Status

        job = await self._queue.dequeue(timeout=TAKE_S)
        if job is None:
            return []
        await job.update(status=Status.ACTIVE)
        return [job]

    async def ack(self, taken: Sequence[Any]) -> None:
        from saq.job import Status

        for job in taken:
            await self._queue.finish(job, Status.COMPLETE)

    async def aclose(self) -> None:
        await self._queue.disconnect()


class Taskiq:
    """One listener; it fetches no more at a time than is asked for."""

    def __init__(self, servers: Servers) -> None:
        from taskiq_redis import RedisStreamBroker

        self._broker = RedisStreamBroker(servers.redis_url, queue_name=f"taskiq:{servers.queue}")
        self._messages: Any = None

    async def push(self, calls: int) -> None:
        from taskiq.message import BrokerMessage

        if self._messages is None:
            await self._listen()
        for _ in range(calls):
            task_id = uuid.uuid4().hex
            await self._broker.kick(
                BrokerMessage(task_id=task_id, task_name=FUNCTION, message=task_id.encode(), labels={})
            )

    async def take(self, calls: int) -> Sequence[Any]:
        if self._messages is None:
            await self._listen()
        self._broker.count = calls
        return [await anext(self._messages) for _ in range(calls)]

    async def ack(self, taken: Sequence[Any]) -> None:
        for message in taken:
            await message.ack()

    async def aclose(self) -> None:
        if self._messages is not None:
            await self._messages.aclose()
        await self._broker.shutdown()

    async def _listen(self) -> None:
        await self._broker.startup()
        self._messages = self._broker.listen()


class Celery:
    """kombu's Redis transport, which is Celery's; it blocks, and has its process to itself."""

    def __init__(self, servers: Servers) -> None:
        from kombu import Connection, Producer, Queue

        url = urlsplit(servers.redis_url)
        self._connection = Connection(f"redis+socket://{url.netloc}{url.path}")
        channel = self._connection.default_channel
        self._queue = Queue(f"kombu-{servers.queue}")(channel)
        self._queue.declare()
        self._producer = Producer(channel, routing_key=self._queue.name)

    async def push(self, calls: int) -> None:
        if calls == 1:
            self._publish()
            return
        with self._producer.batch(max_size=calls):
            for _ in range(calls):
                self._publish()

    async def take(self, calls: int) -> Sequence[Any]:
        found = (self._queue.get(no_ack=False) for _ in range(calls))
        return [message for message in found if message is not None]

    async def ack(self, taken: Sequence[Any]) -> None:
        for message in taken:
            message.ack()

    async def aclose(self) -> None:
        self._connection.release()

    def _publish(self) -> None:
        self._producer.publish({"task": FUNCTION, "id": uuid.uuid4().hex})


class Beanstalkd:
    """The whole protocol is one line and its answer; a job is a connection's until it is deleted."""

    def __init__(self, servers: Servers) -> None:
        from greenstalk import Client

        if not servers.beanstalkd_socket:
            raise FileNotFoundError("the server is not installed: apt-get install beanstalkd")
        self._client = Client(servers.beanstalkd_socket, use=servers.queue, watch=servers.queue)

    async def push(self, calls: int) -> None:
        for _ in range(calls):
            self._client.put(f"{FUNCTION} {uuid.uuid4().hex}")

    async def take(self, calls: int) -> Sequence[Any]:
        return [self._client.reserve(timeout=TAKE_S) for _ in range(calls)]

    async def ack(self, taken: Sequence[Any]) -> None:
        for job in taken:
            self._client.delete(job)

    async def aclose(self) -> None:
        self._client.close()


async def _nothing(_context: dict[str, Any]) -> None:
    """What a job would do."""
