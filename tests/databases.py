"""Databases for the tests, made ahead: copying a template takes a while, and another core does that meanwhile."""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg

SPARE = 2
MADE_WITHIN_S = 30.0


class DatabaseStock:
    """Copies of *template*, made and dropped in a thread of its own; to be closed."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._made: deque[Future[str]] = deque(self._thread.submit(self._make) for _ in range(SPARE))
        self._dropped: list[Future[None]] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of a database that nobody else has, dropped after the block with all connections to it."""
        self._made.append(self._thread.submit(self._make))
        name = self._made.popleft().result(MADE_WITHIN_S)
        try:
            yield with_database(self._server_url, name)
        finally:
            self._dropped.append(self._thread.submit(self._drop, name))

    def close(self) -> None:
        """Wait for what is under way. Raises what a drop raised."""
        self._thread.shutdown(cancel_futures=True)
        for dropped in self._dropped:
            if not dropped.cancelled():
                dropped.result()

    def _make(self) -> str:
        name = f"test_{secrets.token_hex(6)}"
        asyncio.run(execute(self._server_url, f"CREATE DATABASE {name} TEMPLATE {self._template}"))
        return name

    def _drop(self, name: str) -> None:
        asyncio.run(execute(self._server_url, f"DROP DATABASE {name} WITH (FORCE)"))


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def execute(url: str, statement: str) -> None:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
