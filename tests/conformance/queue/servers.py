"""Redis servers on loopback ports, started from the programs: replicas, sentinels, TLS; and a bad network."""

import asyncio
import socket
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.polling import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TcpRedis:
    """A redis-server, or a sentinel, with a configuration of the test's."""

    def __init__(self, program: Path, directory: Path, *options: str, is_sentinel: bool = False) -> None:
        self.port = free_port()
        self._program = program
        self._directory = directory
        self._options = options
        self._is_sentinel = is_sentinel
        self.process: Process | None = None

    async def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "redis.conf"
        if not config.exists():
            lines = [
                "bind 127.0.0.1",
                f"port {self.port}",
                f'dir "{self._directory}"',
                'save ""',
                *self._options,
            ]
            if self._is_sentinel:
                lines.remove('save ""')
            config.write_text("\n".join(lines) + "\n")
        arguments = [str(config), *(["--sentinel"] if self._is_sentinel else [])]
        self.process = await asyncio.create_subprocess_exec(self._program, *arguments, stdout=DEVNULL)
        await eventually(self._answers)

    async def _answers(self) -> bool:
        with suppress(RedisError, OSError):
            async with self.client() as client:
                return bool(await client.ping())
        return False

    def client(self) -> Redis:
        client: Redis = Redis(port=self.port, protocol=2)
        return client

    async def kill(self) -> None:
        """At once, as kill -9 does; harmless when it is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


class Proxy:
    """Between a client and a server. Once it is *deaf*, connections that stand stay open and carry nothing."""

    def __init__(self, unix_socket: str) -> None:
        self._unix_socket = unix_socket
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._deaf_to = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def go_deaf(self) -> int:
        """Stop carrying for the connections that stand; new ones work. Return how many that are."""
        self._deaf_to = self._connections
        return self._deaf_to

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        far_reader, far_writer = await asyncio.open_unix_connection(self._unix_socket)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(number, source, target))
            self._tasks.add(task)

    async def _carry(self, number: int, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if number > self._deaf_to:
                    target.write(data)
                    await target.drain()
        except OSError:
            pass
        finally:
            target.close()
