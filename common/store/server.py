"""The Postgres that MILLRACE_DATABASE_URL names: how to connect to it, and whether it is fit for our records.

Everything that a connection needs is given explicitly: asyncpg would fill in what is missing from ``PG*`` variables and
from files in the home directory.
"""

import os
import pwd
import re
import socket
import ssl
from typing import Any

import asyncpg
from msgspec import Struct

from common.addresses import Address, parse_address
from common.errors import ServerUnusableError

VARIABLE = "MILLRACE_DATABASE_URL"
PORT = 5432
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0  # also how long a way that fell silent goes unnoticed
STATEMENT_CACHE = 100
VERSION_MIN = 15

_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")
_TARGETS = ("any", "read-write", "primary")
_NO_SUCH_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)
_WRONG = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a wrong password is one
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.SyntaxOrAccessError,  # no right to make tables, or tables of another program in their place
    asyncpg.FeatureNotSupportedError,
    asyncpg.ClientConfigurationError,
    ssl.SSLCertVerificationError,
    PermissionError,
)
# PgBouncer tells everything with one code.
_POOLER_IS_WRONG = re.compile("no such (database|user)|startup parameter|authentication|password|not allowed")
_POOLER_IS_FULL = re.compile("no more connections allowed")


class PostgresServer:
    """How to connect. ``is_pooled``: a pooler such as PgBouncer stands between, so a session may end with its
    transaction, and no prepared statement outlives it.
    """

    def __init__(self, url: str) -> None:
        """Does not connect. Raises SettingsError for an address that isn't one."""
        address = parse_address(
            VARIABLE, url, schemes=("postgresql", "postgres"), options=_OPTIONS, several=True
        )
        hosts = _hosts(address)
        self.is_pooled = False
        self.place = ",".join(f"{host}:{port}" for host, port in hosts)
        self._tls = _tls(address, is_local=all(host.startswith("/") for host, _ in hosts))
        user = address.user or _own_name(address)
        database = address.path.removeprefix("/") or user
        self.place += f"/{database}"
        self._options: dict[str, Any] = {
            "host": [host for host, _ in hosts],
            "port": [port for _, port in hosts],
            "user": user,
            "password": address.password or "",
            "database": database,
            "target_session_attrs": _target(address, is_one=len(hosts) == 1),
            "direct_tls": False,
            "krbsrvname": "postgres",
            "gsslib": "gssapi",
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": COMMAND_TIMEOUT_S,
            "server_settings": {"application_name": "millrace"},
        }

    async def connect(self, dsn: str | None = None, **of_pool: Any) -> asyncpg.Connection:  # noqa: ARG002 - a pool passes it
        """A new connection, with what a pool asks of it. Raises what asyncpg raises, and OSError."""
        cache = 0 if self.is_pooled else STATEMENT_CACHE
        options = {**self._options, **of_pool, "statement_cache_size": cache}
        try:
            return await asyncpg.connect(ssl=self._tls.context or False, **options)
        except Exception as error:
            if not (self._tls.is_optional and _is_refusal_of_tls(error)):
                raise
        return await asyncpg.connect(ssl=False, **options)

    async def connect_first(self) -> asyncpg.Connection:
        """A new connection to a server that was looked at. Sets ``is_pooled``.

        Raises ServerUnusableError for a server that is not fit, and as `connect`.
        """
        self.is_pooled = True  # until it is known: then nothing is left behind in a session of others
        connection = await self.connect()
        try:
            (found,) = await connection.fetch(_EXAMINE)
            if flaw := _flaw(found):
                raise self.unusable(flaw)
            self.is_pooled = found["pid"] != connection.get_server_pid()
        except BaseException:
            connection.terminate()
            raise
        return connection

    def unusable(self, cause: object) -> ServerUnusableError:
        """The error for a server that is wrong, not away; names it and never the password."""
        text = " ".join(str(cause).split())
        return ServerUnusableError(f"Postgres at {self.place} ({VARIABLE}) can't be used: {text}")


def is_wrong(error: BaseException) -> bool:
    """Tell an error that trying again would not mend from one that says: not now."""
    if isinstance(error, socket.gaierror):
        return error.errno in _NO_SUCH_HOST
    if isinstance(error, asyncpg.ProtocolViolationError):
        return _POOLER_IS_WRONG.search(str(error)) is not None
    if _is_tls_rejected(error):
        return True
    return isinstance(error, _WRONG)


def is_full(error: BaseException) -> bool:
    """Tell whether the server has no connection left for us."""
    return isinstance(error, asyncpg.TooManyConnectionsError) or (
        isinstance(error, asyncpg.ProtocolViolationError) and _POOLER_IS_FULL.search(str(error)) is not None
    )


_EXAMINE = """
    SELECT
        current_setting('server_version_num')::integer AS version_num,
        current_setting('server_version') AS version,
        current_setting('server_encoding') AS encoding,
        current_setting('default_transaction_isolation') AS isolation,
        pg_backend_pid() AS pid
"""


def _flaw(found: asyncpg.Record) -> str | None:
    """What makes this server unfit for our records; None if nothing does."""
    if found["version_num"] // 10000 < VERSION_MIN:
        return f"it is version {found['version']}, and {VERSION_MIN} is the oldest that is supported"
    if found["encoding"] != "UTF8":
        return f"its encoding is {found['encoding']}: create the database with ENCODING 'UTF8' TEMPLATE template0"
    if found["isolation"] != "read committed":
        return (
            f"default_transaction_isolation is {found['isolation']!r} for this user or database: "
            "set it to 'read committed'"
        )
    return None


class _Tls(Struct, frozen=True):
    context: ssl.SSLContext | None
    is_optional: bool


def _hosts(address: Address) -> list[tuple[str, int]]:
    """Where to connect: a name or a directory of sockets, each with its port."""
    if directory := address.options.get("host"):
        if address.hosts:
            raise address.wrong("the host stands before the path or in the option host, not in both")
        if not directory.startswith("/"):
            raise address.wrong(
                "the option host is a directory with the server's socket; a name stands after //"
            )
        return [(directory, PORT)]
    if not address.hosts:
        raise address.wrong("it names no host, like postgresql://user:password@host:5432/database")
    return [(host, port or PORT) for host, port in address.hosts]


def _own_name(address: Address) -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise address.wrong("it names no user, like postgresql://user:password@host:5432/database") from None


def _target(address: Address, *, is_one: bool) -> str:
    target = address.options.get("target_session_attrs", "any" if is_one else "read-write")
    if target not in _TARGETS:
        raise address.wrong(f"target_session_attrs is one of {', '.join(_TARGETS)}")
    return target


def _tls(address: Address, *, is_local: bool) -> _Tls:
    mode = address.options.get("sslmode", "disable" if is_local else "prefer")
    if mode not in _MODES:
        raise address.wrong(f"sslmode is one of {', '.join(_MODES)}")
    if mode == "disable":
        return _Tls(None, is_optional=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["postgresql"])
    context.check_hostname = mode == "verify-full"
    root = address.options.get("sslrootcert")
    if not root:
        if mode.startswith("verify"):
            raise address.wrong(f"sslmode={mode} needs sslrootcert=FILE, or sslrootcert=system")
        context.verify_mode = ssl.CERT_NONE
    try:
        if root == "system":
            context.load_default_certs()
        elif root:
            context.load_verify_locations(root)
        if certificate := address.options.get("sslcert"):
            context.load_cert_chain(certificate, address.options.get("sslkey") or None)
    except OSError as error:  # ssl.SSLError is one
        raise address.wrong(
            f"a file of sslrootcert, sslcert or sslkey can't be used: {error.strerror or error}"
        ) from error
    return _Tls(context, is_optional=mode == "prefer")


def _is_refusal_of_tls(error: Exception) -> bool:
    """Whether a connection without TLS may do better, as libpq's ``prefer`` means it."""
    if isinstance(error, ssl.SSLError) or _is_tls_rejected(error):
        return True
    return type(error) is asyncpg.InvalidAuthorizationSpecificationError


def _is_tls_rejected(error: BaseException) -> bool:
    return type(error) is ConnectionError and "rejected SSL upgrade" in str(error)
