"""Where Docker Engine is looked for, and what is said when it can't be used."""

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common import engine
from common.engine import EngineError, Trouble, check_engine, engine_address, socket_path
from common.errors import SettingsError
from common.settings import load_settings

NOBODY = 65534


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder with a short path, which others may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@asynccontextmanager
async def listener(path: Path, answer: bytes | None) -> AsyncIterator[None]:
    """Something that answers so to every request, or never."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        done.set()
        server.close()
        await server.wait_closed()


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def use_context(home: Path, name: str, host: str) -> None:
    """What `docker context use` leaves."""
    meta = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {}, "currentContext": name}))


def test_our_setting_comes_before_docker_host_and_that_before_the_context(tmp_path: Path) -> None:
    use_context(tmp_path, "rootless", "unix:///run/context.sock")
    environ = {"HOME": str(tmp_path)}
    assert engine_address({}) == "/var/run/docker.sock"
    assert engine_address(environ) == "/run/context.sock"
    assert engine_address(environ | {"DOCKER_CONTEXT": "default"}) == "/var/run/docker.sock"
    environ["DOCKER_HOST"] = "unix:///run/host.sock"
    assert engine_address(environ) == "/run/host.sock"
    assert load_settings(environ).docker_socket == "/run/host.sock"
    for ours in ("/run/ours.sock", "unix:///run/ours.sock"):
        assert load_settings(environ | {"MILLRACE_DOCKER_SOCKET": ours}).docker_socket == "/run/ours.sock"


@pytest.mark.parametrize("broken", ["", "[]", '{"currentContext": "gone"}', '{"currentContext": 3}'])
def test_a_context_that_is_none_is_as_without_it(tmp_path: Path, broken: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(broken)
    assert engine_address({"HOME": str(tmp_path)}) == "/var/run/docker.sock"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:2375", "ssh://me@box", "docker.sock", "unix://x.sock"])
def test_an_address_that_is_no_sockets_is_refused_by_who_uses_it(address: str) -> None:
    settings = load_settings({"DOCKER_HOST": address})  # the api needs no engine
    with pytest.raises(SettingsError, match="set MILLRACE_DOCKER_SOCKET to the path") as caught:
        socket_path(settings.docker_socket)
    assert address in str(caught.value)
    assert "DOCKER_HOST" in str(caught.value)


async def test_an_engine_that_is_new_enough_is_taken(sockets: Path) -> None:
    async with listener(sockets / "s", http(b'{"ApiVersion": "1.41", "Version": "20.10.24"}')):
        await check_engine(str(sockets / "s"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b'{"ApiVersion": "1.40"}'), "is too old: its API is 1.40, and Docker 20.10"),
        (http(b"<html>"), "does not answer as Docker Engine does"),
        (http(b'{"ApiVersion": "new"}'), "does not answer as Docker Engine does"),
        (b"+PONG\r\n\r\n", "does not answer as Docker Engine does"),
        (b"", "does not answer as Docker Engine does"),
        (None, "does not answer within"),
    ],
)
async def test_what_is_no_engine_is_said(
    sockets: Path, answer: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ANSWER_S", 5.0 if answer is not None else 0.2)
    async with listener(sockets / "s", answer):
        with pytest.raises(EngineError, match=said):
            await check_engine(str(sockets / "s"))


async def test_where_nothing_listens_it_is_not_installed_or_not_running_or_elsewhere(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(sockets / "s")
    with pytest.raises(EngineError, match=r"no Docker Engine listens at .* DOCKER_HOST") as caught:
        await check_engine(path)
    assert caught.value.trouble is Trouble.OTHER
    monkeypatch.setattr(engine, "DEFAULT_SOCKET", path)
    programs = sockets / "sbin"
    programs.mkdir()
    monkeypatch.setattr(engine, "SYSTEM_PATH", str(programs))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # an ordinary user's
    with pytest.raises(EngineError, match="not installed: sudo apt-get install") as caught:
        await check_engine(path)
    assert caught.value.trouble is Trouble.NOT_INSTALLED
    (programs / "dockerd").touch(mode=0o755)
    async with listener(sockets / "s", b""):
        pass
    for _ in ("a socket that nobody listens on any more", "no socket"):
        with pytest.raises(EngineError, match=r"not running, .* sudo systemctl start docker") as caught:
            await check_engine(path)
        assert caught.value.trouble is Trouble.NOT_RUNNING
        (sockets / "s").unlink(missing_ok=True)


async def test_a_user_without_permission_is_told_so(sockets: Path) -> None:
    async with listener(sockets / "s", http(b'{"ApiVersion": "1.41"}')):
        (sockets / "s").chmod(0o600 if os.geteuid() == 0 else 0)
        said = await asyncio.to_thread(_check_as_another, str(sockets / "s"))
    assert "has no permission to use" in said
    assert "not installed" not in said


def _check_as_another(path: str) -> str:
    """What check_engine says to a user without rights. Forks: another user may not be able to read this code."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"not refused"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            asyncio.run(check_engine(path))
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is for the parent to see)
            said = str(error).encode()
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said.decode()
