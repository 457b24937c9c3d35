"""A PgBouncer in transaction mode before a Postgres: what a session keeps is lost with each transaction."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from deploy.local.account import service_account
from deploy.local.child import Child, Program
from deploy.local.directories import make_own_directory, make_service_directory
from tests.conftest import skip_or_fail
from tests.polling import eventually

CONFIG = """\
[databases]
* = host={sockets} user={user} password={password}
[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
listen_port = 5432
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
"""


@asynccontextmanager
async def pooled(database_url: str, directory: Path, pool_size: int = 5) -> AsyncIterator[str]:
    """The address of the same database behind a PgBouncer with *pool_size* connections to it."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if program is None:
        skip_or_fail("pgbouncer is not installed: ./deploy/test installs it as root")
    parts, account = urlsplit(database_url), service_account()
    own = make_service_directory(make_own_directory(directory, account) / "pgbouncer", account)
    config = directory / "pgbouncer.ini"
    (sockets,) = parse_qs(parts.query)["host"]
    config.write_text(
        CONFIG.format(
            sockets=sockets, user=parts.username, password=parts.password, directory=own, pool_size=pool_size
        )
    )
    config.chmod(0o644)
    child = await Child.start(
        Program("pgbouncer", (program, "-q", config), directory / "pgbouncer.log", account)
    )
    url = f"postgresql://{parts.username}@{parts.path}?host={own}"
    try:
        await eventually(lambda: _answers(url, child))
        yield url
    finally:
        await child.stop()


async def _answers(url: str, child: Child) -> bool:
    assert child.exit_code is None, child.last_lines()
    try:
        connection = await asyncpg.connect(url, port=5432, statement_cache_size=0)
    except OSError:
        return False
    await connection.close()
    return True
