"""The embedded servers: they keep their data, their secrets and their hands off other people's directories."""

import asyncio
import os
import secrets
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local import LocalPostgres, LocalRedis, LocalServerError, RedisChoice
from deploy.local.account import own_account, service_account
from deploy.local.binaries import within_reach
from deploy.local.directories import SOCKET_PATH_MAX_BYTES


@pytest.fixture
def home(servers_directory: Path) -> Iterator[Path]:
    """A directory of the test's own, not made yet."""
    path = servers_directory / secrets.token_hex(6)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Servers(NamedTuple):
    """One pair of servers that the tests which only look may share."""

    postgres: LocalPostgres
    redis: LocalRedis


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(servers_directory: Path) -> AsyncIterator[Servers]:
    home = servers_directory / "running"
    async with LocalPostgres(home / "p") as postgres, LocalRedis(home / "r", "6.2") as redis:
        yield Servers(postgres, redis)


async def put(url: str, value: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", value)
    await connection.close()


async def kept(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT value FROM kept ORDER BY value")
    await connection.close()
    return [row["value"] for row in rows]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_running(pid: int) -> bool:
    """Tell whether the process still runs a program; one that nobody has reaped yet does not."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False


async def test_postgres_keeps_its_data_over_a_restart(home: Path) -> None:
    async with LocalPostgres(home) as server:
        await put(server.url, "first")
    async with LocalPostgres(home) as server:
        assert await kept(server.url) == ["first"]


async def test_redis_keeps_its_data_over_a_restart(home: Path) -> None:
    for expected in (1, 2):
        async with LocalRedis(home, "6.2") as server, Redis.from_url(server.url) as client:
            assert await client.incr("kept") == expected


async def test_postgres_starts_after_kill_9_with_all_that_was_committed(home: Path) -> None:
    server = LocalPostgres(home)
    await server.start()
    await put(server.url, "committed")
    os.kill(server.child.pid, SIGKILL)
    assert await server.wait() == "postgres was ended by SIGKILL"
    await server.start()
    assert await kept(server.url) == ["committed"]
    await server.stop()


async def test_a_postgres_that_somebody_told_to_stop_does_not_wait_for_its_users(home: Path) -> None:
    async with LocalPostgres(home) as server:
        user = await asyncpg.connect(server.url)
        os.kill(server.child.pid, SIGTERM)
        async with asyncio.timeout(20):
            assert await server.wait() == "postgres ended with exit code 0"
        await user.close()


@pytest.mark.parametrize("choice", ["6.2", "system"])
async def test_redis_is_not_for_others_to_stop(home: Path, choice: RedisChoice) -> None:
    async with LocalRedis(home, choice) as server, Redis.from_url(server.url) as client:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{server.child.pid}/status").read_text().splitlines()
        )
        assert int(status["SigBlk"], 16) & 1 << SIGTERM - 1
        os.kill(server.child.pid, SIGTERM)
        assert await client.incr("kept") == 1
        child = server.child
    assert child.exit_code == 0


async def test_a_stale_pid_that_is_somebody_elses_now_does_not_prevent_the_start(home: Path) -> None:
    async with LocalPostgres(home):
        pass
    # What a crash leaves behind, with a number that a process of the same account has by now.
    async with LocalRedis(home / "redis", "6.2") as other:
        stale = f"{other.child.pid}\n{home / '18'}\n1\n5432\n{home / '18'}\n\n0 0\nready\n"
        (home / "18" / "postmaster.pid").write_text(stale)
        async with LocalPostgres(home) as server:
            await put(server.url, "works")


async def test_postgres_demands_the_password(running: Servers) -> None:
    password = urlsplit(running.postgres.url).password
    assert password
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(running.postgres.url.replace(password, "wrong"))


async def test_redis_demands_the_password(running: Servers) -> None:
    password = urlsplit(running.redis.url).password
    assert password
    async with Redis.from_url(running.redis.url.replace(f":{password}@", "")) as client:
        with pytest.raises(RedisError, match="authenticated"):
            await client.ping()


def test_passwords_are_in_closed_files_and_on_no_command_line(running: Servers) -> None:
    for server in running:
        file = server.directory / "password"
        assert mode(file) == 0o600
        assert file.read_text() not in Path(f"/proc/{server.child.pid}/cmdline").read_text()


def test_data_is_closed_to_everybody_else(running: Servers) -> None:
    for data in (running.postgres.directory / "18", running.redis.directory / "data"):
        assert mode(data) == 0o700
        assert data.stat().st_uid == service_account().uid


def test_servers_never_run_as_root(running: Servers) -> None:
    for server in running:
        assert Path(f"/proc/{server.child.pid}").stat().st_uid == service_account().uid != 0


async def test_servers_do_not_listen_on_tcp(running: Servers) -> None:
    async with Redis.from_url(running.redis.url) as client:
        assert (await client.config_get("port"))["port"] == "0"
    connection = await asyncpg.connect(running.postgres.url)
    assert await connection.fetchval("SHOW listen_addresses") == ""
    await connection.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction")],
)
async def test_redis_is_set_to_lose_nothing(running: Servers, name: str, value: str) -> None:
    async with Redis.from_url(running.redis.url) as client:
        assert (await client.config_get(name))[name] == value


async def test_a_second_start_on_the_same_directory_is_refused(running: Servers) -> None:
    with pytest.raises(LocalServerError, match="another Millrace uses"):
        await LocalRedis(running.redis.directory, "6.2").start()
    async with Redis.from_url(running.redis.url) as client:
        assert await client.ping()


async def test_a_directory_that_was_there_is_left_as_it_was(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    before = home.stat()
    async with LocalRedis(home / "redis", "6.2"):
        after = home.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


async def test_a_data_directory_that_others_can_open_is_refused_and_left_as_it_was(home: Path) -> None:
    (home / "18").mkdir(parents=True)
    home.chmod(0o711)
    (home / "18").chmod(0o755)
    with pytest.raises(LocalServerError, match="18 must be a directory of the user"):
        await LocalPostgres(home).start()
    assert mode(home / "18") == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers under another account")
async def test_a_directory_that_the_servers_can_not_reach_is_refused_by_name(home: Path) -> None:
    home.mkdir()
    home.chmod(0o700)
    with pytest.raises(LocalServerError, match=f"{home} can't be entered by the user"):
        await LocalPostgres(home / "postgres").start()
    assert list(home.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers under another account")
def test_programs_behind_a_closed_folder_are_copied_to_where_the_servers_can_run_them(home: Path) -> None:
    closed = home / "closed"
    package = closed / "redis"
    package.mkdir(parents=True)
    (package / "program").write_text("a program")
    for folder, bits in ((home, 0o711), (closed, 0o700), (package, 0o755)):
        folder.chmod(bits)
    found = within_reach(package, home / "copies", service_account())
    assert found != package
    assert (found / "program").read_text() == "a program"
    assert all(service_account().may_enter(folder) for folder in (found, *found.parents))
    assert within_reach(package, home / "copies", own_account()) == package


async def test_a_failed_start_shows_the_last_lines_and_frees_the_directory(home: Path) -> None:
    async with LocalPostgres(home):
        pass
    control = home / "18" / "global" / "pg_control"
    control.rename(home / "18" / "pg_control.away")
    with pytest.raises(LocalServerError, match="could not find the database system"):
        await LocalPostgres(home).start()
    (home / "18" / "pg_control.away").rename(control)
    async with LocalPostgres(home):
        pass


async def test_data_of_another_major_redis_is_set_aside(home: Path) -> None:
    async with LocalRedis(home, "6.2") as server, Redis.from_url(server.url) as client:
        await client.set("kept", 1)
    (home / "major").write_text("5")
    async with LocalRedis(home, "6.2") as server, Redis.from_url(server.url) as client:
        assert await client.dbsize() == 0
    assert (home / "data.5" / "appendonly.aof").exists()
    assert (home / "major").read_text() == "6"


async def test_a_long_path_gets_its_socket_elsewhere(home: Path) -> None:
    long = home.joinpath(*["d" * 40] * 3)
    assert len(os.fsencode(long)) > SOCKET_PATH_MAX_BYTES
    async with LocalPostgres(long / "p") as postgres, LocalRedis(long / "r", "6.2") as redis:
        await put(postgres.url, "works")
        async with Redis.from_url(redis.url) as client:
            assert await client.ping()


STARTER = """
import asyncio, sys
from pathlib import Path
from deploy.local import LocalPostgres, LocalRedis

async def main():
    home = Path(sys.argv[1])
    async with LocalPostgres(home / "p") as postgres, LocalRedis(home / "r", "6.2") as redis:
        print(postgres.child.pid, redis.child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_servers_do_not_outlive_a_starter_that_is_killed_and_the_next_start_waits_for_their_end(
    home: Path,
) -> None:
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(home)), stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    async with asyncio.timeout(30):
        pids = [int(pid) for pid in (await starter.stdout.readline()).split()]
    assert len(pids) == 2
    starter.kill()
    await starter.wait()  # only then is its own lock free; its servers may still be going down
    async with LocalPostgres(home / "p"), LocalRedis(home / "r", "6.2"):
        assert not any(is_running(pid) for pid in pids)
