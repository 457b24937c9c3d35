"""Real servers for one machine, nothing to install: Postgres and Redis as child processes on Unix sockets.

Each server has one directory with everything about it: its data (0700), its generated password (0600), its log and
its locks. As root the servers run under an unprivileged account, and that account owns only the data. A directory
that this package did not make is used as it is or refused, never changed. A server never outlives the process that
started it, also when that process is killed.
"""

from deploy.local.binaries import RedisChoice
from deploy.local.errors import LocalServerError
from deploy.local.postgres import LocalPostgres
from deploy.local.redis import LocalRedis

__all__ = ["LocalPostgres", "LocalRedis", "LocalServerError", "RedisChoice"]
