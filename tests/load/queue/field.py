"""Who is measured: each contestant's own functions for a durable push, take and acknowledge, and what they leave open.

The names were read in the installed sources of the versions that are locked. Runs nothing, imports none of them.

The same for all: one Redis on a Unix socket (beanstalkd has a server of its own), as many client processes, each with
one request under way; calls of a function's name and an id, no result kept; worker runtimes left out.
"""

from msgspec import Struct

from tests.load.queue.plan import BATCHES

ONE = (1,)


class Contestant(Struct, frozen=True, kw_only=True):
    """``kind``: "peer" is one in Python on Redis. ``environment``: None for the project's own.

    ``packages``: those whose versions say what was measured. ``push``, ``take``, ``ack``: what its client calls."""

    name: str
    title: str
    kind: str
    packages: tuple[str, ...]
    environment: str | None = None
    batches: tuple[int, ...] = BATCHES
    push: str
    take: str
    ack: str
    open_ends: str


FLOOR = Contestant(
    name="floor",
    title="bare LPUSH, RPOP, PING",
    kind="floor",
    packages=("redis",),
    push="LPUSH key value…: one command for the batch",
    take="RPOP key count",
    ack="PING",
    open_ends="no queue: the cost of three round trips through the same client library. A call that was popped is gone",
)

MILLRACE = Contestant(
    name="millrace",
    title="Millrace",
    kind="own",
    packages=("redis",),
    push="RedisQueue.push",
    take="RedisQueue.reserve, never waiting",
    ack="RedisQueue.ack",
    open_ends="the queue holds no payload: a worker claims the call in Postgres, which is not measured here",
)

ARQ = Contestant(
    name="arq",
    title="arq",
    kind="peer",
    packages=("arq", "redis"),
    environment="arq",
    push="ArqRedis.enqueue_job (WATCH, EXISTS, MULTI PSETEX ZADD)",
    take="ZRANGEBYSCORE of Worker.queue_read_limit ids, Worker.start_jobs, then the read that begins Worker.run_job; "
    "a batch is max_jobs, whose reads overlap the next start",
    ack="Worker.finish_job, keep_result=0",
    open_ends="no priorities; workers race for the same head; no renewal, so a crashed job waits for its timeout + "
    "10 s; the job's data expires after 24 h in the queue. Its wait is a poll every 0.5 s, left out here",
)

SAQ = Contestant(
    name="saq",
    title="SAQ",
    kind="peer",
    packages=("saq", "redis"),
    environment="saq",
    batches=ONE,
    push="Queue.enqueue (one script)",
    take="Queue.dequeue (BLMOVE, GET), then Job.update(status=ACTIVE) (SET, PUBLISH), else a sweep takes it away",
    ack="Queue.finish, ttl=-1 (MULTI LREM ZREM DEL, PUBLISH)",
    open_ends="no priorities; an ack searches the list of active jobs; a sweep aborts a stuck job, or puts "
    "it at the tail if it has retries left. No batches",
)

TASKIQ = Contestant(
    name="taskiq",
    title="taskiq, stream broker",
    kind="peer",
    packages=("taskiq-redis", "taskiq", "redis"),
    environment="taskiq",
    push="RedisStreamBroker.kick (XADD), one by one",
    take="RedisStreamBroker.listen (XREADGROUP with xread_count = the batch, then its XAUTOCLAIM under a lock)",
    ack="AckableMessage.ack (XACK), one by one",
    open_ends="no priorities, no delay; an ack leaves the entry in the stream, which grows until it is trimmed; one "
    "idle time (10 min) for all calls, after which a crashed one is claimed behind newer ones",
)

CELERY = Contestant(
    name="celery",
    title="Celery's Redis transport",
    kind="peer",
    packages=("kombu", "redis"),
    environment="celery",
    push="Producer.publish (LPUSH), a batch in Producer.batch (pipeline)",
    take="Queue.get(no_ack=False) (RPOP, then MULTI ZADD HSET), one by one",
    ack="Message.ack (MULTI ZREM HDEL), one by one",
    open_ends="a crash between RPOP and ZADD loses the call; a list for each priority; a crashed call returns after "
    "the visibility timeout (1 h), before all others. Celery's own headers are left out",
)

BEANSTALKD = Contestant(
    name="beanstalkd",
    title="beanstalkd",
    kind="server",
    packages=("greenstalk",),
    environment="beanstalkd",
    batches=ONE,
    push="Client.put; binlog on, fsync once a second (-f 1000), as Redis's everysec",
    take="Client.reserve",
    ack="Client.delete",
    open_ends="priorities, delay and exact restoration as Millrace; a single server without replication; no batches. "
    "The client is plain blocking sockets, the lightest of all",
)

FIELD = (FLOOR, MILLRACE, ARQ, SAQ, TASKIQ, CELERY, BEANSTALKD)
