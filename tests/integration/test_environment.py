"""Variables that libraries read by themselves change nothing: each client and each server gets all it needs from us."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from api.metrics import Metrics
from common.settings import Settings
from common.store.postgres import PostgresStore
from deploy.cli.client import Client
from deploy.local import LocalPostgres, LocalRedis
from tests.chaos.proxy import Proxy

OF_LIBRARIES = """
    PGHOST=/nowhere PGPORT=1 PGUSER=nobody PGPASSWORD=wrong PGDATABASE=none PGDATA=/none PGPASSFILE=/none
    PGSSLMODE=verify-full PGSSLCERT=/none.crt PGSSLKEY=/none.key PGSSLROOTCERT=/none.pem PGSSLCRL=/none.crl
    PGSSLNEGOTIATION=direct PGSSLMINPROTOCOLVERSION=none PGTARGETSESSIONATTRS=standby PGKRBSRVNAME=none PGGSSLIB=none
    PGSERVICE=none PGSERVICEFILE=/none PGCLIENTENCODING=none PGDATESTYLE=none PGTZ=none LC_ALL=none TZ=none
    REDIS_URL=redis://nowhere REDIS_HOST=nowhere REDISCLI_AUTH=wrong NETRC=/none
    HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 NO_PROXY=nothing
    http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1 no_proxy=nothing
    SSL_CERT_FILE=/none.pem PROMETHEUS_MULTIPROC_DIR=/none prometheus_multiproc_dir=/none
    HOME=/nonexistent LOGNAME=nobody-here USER=nobody-here
""".split()
HOSTILE = dict(variable.split("=", 1) for variable in OF_LIBRARIES) | {"PGOPTIONS": "-c search_path=none"}


async def test_a_hostile_environment_changes_nothing(
    servers_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    home = servers_directory / "hostile"
    async with LocalPostgres(home / "postgres") as postgres, LocalRedis(home / "redis", "6.2") as redis:
        await over_tcp_without_tls(postgres.url)
        await a_process_serves(postgres.url, redis.url)


async def over_tcp_without_tls(url: str) -> None:
    """As sslmode=prefer, which is the default, means it."""
    parts = urlsplit(url)
    (sockets,) = parse_qs(parts.query)["host"]
    async with Proxy(lambda: f"{sockets}/.s.PGSQL.5432") as proxy:
        login = f"{parts.username}:{parts.password}"
        store = await PostgresStore.open(
            Settings(database_url=f"postgresql://{login}@{proxy.address}{parts.path}")
        )
        assert await store.get_apps() == []
        await store.aclose()


async def a_process_serves(database_url: str, redis_url: str) -> None:
    """The api with the same environment, asked by our own client."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    ours = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": str(port)}
    api = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api"),
        env=os.environ | {f"MILLRACE_{name}": value for name, value in ours.items()},
        stderr=PIPE,
    )
    assert api.stderr is not None
    said = b""
    async with asyncio.timeout(30):
        while b"listening" not in (line := await api.stderr.readline()):
            assert line, said
            said += line
    async with Client(f"http://127.0.0.1:{port}") as client:
        assert not await client.has_apps()
    api.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        _, errors = await api.communicate()
    assert api.returncode == 0, errors


def test_metrics_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/none")
    metrics = Metrics()
    metrics.accepted.inc()
    assert b"millrace_calls_accepted_total 1.0" in metrics.render()
