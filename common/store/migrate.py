"""Brings a database to this version's schema: plain SQL files, each once, in order, in a transaction of its own.

Never goes backwards. An applied file is never edited again: a change is a new file. Refuses a schema whose applied
migrations are not the ones that this version knows.

A schema that is newer than this version is used if it says that it may be: so a process of the version before runs on,
and starts again, while others are replaced. A migration's first line says since which one it is compatible:

    -- compatible since: 0011

A process that knows the migrations up to 0011 can then do its work after it. Without that line none can that does not
know the migration itself.
"""

import asyncio
import hashlib
import re
from functools import cache
from pathlib import Path

import asyncpg
from msgspec import Struct

from common.errors import SchemaChangedError, SchemaTooNewError
from common.store.queries import query

MIGRATIONS_DIRECTORY = Path(__file__).with_name("migrations")
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_COMPATIBLE = re.compile(r"-- compatible since: (\d{4})\n")

TURN_S = 120.0  # how long to wait for another process that migrates
LOCK_S = 5.0  # how long a migration may wait for a table: whoever comes after it waits as long
STATEMENT_S = 600.0


class Migration(Struct, frozen=True, kw_only=True):
    """One file. ``checksum`` is the SHA-256 of its text, whatever the line ends.

    ``compatible_since``: the newest migration that a process must know at least to do its work after this one.
    """

    version: int
    name: str
    checksum: str
    compatible_since: int
    sql: str


async def migrate(connection: asyncpg.Connection) -> None:
    """Apply what is missing; nothing on a current schema. Safe to run from many processes at once, and to cancel.

    Raises SchemaTooNewError, SchemaChangedError, and what asyncpg raises.
    """
    async with asyncio.timeout(TURN_S + STATEMENT_S):
        while await _apply_next(connection):
            pass


async def _apply_next(connection: asyncpg.Connection) -> bool:
    async with connection.transaction():
        await _limit(connection, TURN_S, TURN_S)
        await connection.execute(query("lock_schema"), timeout=TURN_S)
        await _limit(connection, LOCK_S, STATEMENT_S)
        if not await connection.fetchval(query("has_schema_migrations")):
            await connection.execute(query("create_schema_migrations"))
        applied = await _check_applied(connection)
        missing = [migration for migration in load_migrations() if migration.version not in applied]
        if not missing:
            return False
        following = missing[0]
        await connection.execute(following.sql, timeout=STATEMENT_S)
        await connection.execute(query("complete_schema_migrations"))
        await connection.execute(
            query("insert_schema_migration"),
            *(following.version, following.name, following.checksum, following.compatible_since),
        )
        return True


async def _check_applied(connection: asyncpg.Connection) -> set[int]:
    """Return the applied versions, after making sure that each is one of ours, or one that we can work with."""
    known = {migration.version: migration for migration in load_migrations()}
    newest = max(known)
    applied = await connection.fetch(query("get_schema_migrations"))
    for row in applied:
        migration = known.get(row["version"])
        if migration is None:
            if row["compatible_since"] <= newest:
                continue
            raise SchemaTooNewError(
                f"The database has migration {row['version']:04}_{row['name']}, newer than this version of Millrace"
                f" (which knows {newest:04}) and not compatible with it"
            )
        if (migration.name, migration.checksum) != (row["name"], row["checksum"]):
            raise SchemaChangedError(
                f"Migration {row['version']:04}_{row['name']} was applied with other content than this version has"
            )
    return {row["version"] for row in applied}


@cache
def load_migrations() -> tuple[Migration, ...]:
    """This version's migrations in order. Raises ValueError for a file whose name is not ``NNNN_name.sql``."""
    found = [_read_migration(path) for path in sorted(MIGRATIONS_DIRECTORY.glob("*.sql"))]
    versions = [migration.version for migration in found]
    if versions != list(range(1, len(versions) + 1)):
        raise ValueError(f"migrations must be numbered from 1 without a gap, not {versions}")
    return tuple(found)


def _read_migration(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not NNNN_name.sql")
    sql = path.read_text(encoding="utf-8")
    version, compatible = int(match[1]), _COMPATIBLE.match(sql)
    return Migration(
        version=version,
        name=match[2],
        checksum=hashlib.sha256(sql.encode()).hexdigest(),
        compatible_since=int(compatible[1]) if compatible else version,
        sql=sql,
    )


async def _limit(connection: asyncpg.Connection, lock_s: float, statement_s: float) -> None:
    await connection.execute(query("limit_waiting"), f"{lock_s * 1000:.0f}", f"{statement_s * 1000:.0f}")
