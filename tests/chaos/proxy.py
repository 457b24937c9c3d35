"""A bad network: a TCP proxy on loopback in front of a Unix socket, which can be slow, break, refuse or fall silent."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

PIECE_BYTES = 65536


class Proxy:
    """Passes bytes on, both ways. *target* names the socket anew at each connection: a server may come back elsewhere.

    ``delay_s``: how long each piece takes one way. ``is_refusing``: new connections are closed at once.
    """

    def __init__(self, target: Callable[[], str]) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._deaf: set[asyncio.StreamWriter] = set()
        self.delay_s = 0.0
        self.is_refusing = False
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def heal(self) -> None:
        """Be a good network again; connections that fell silent are broken off."""
        self.delay_s, self.is_refusing = 0.0, False
        for writer in self._deaf:
            writer.transport.abort()

    def drop(self) -> int:
        """Break off every connection that stands, with a reset; how many ends that were."""
        writers = list(self._writers)
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    def go_deaf(self) -> int:
        """Carry nothing any more on the connections that stand, and keep them open; how many ends that were."""
        self._deaf |= self._writers
        return len(self._deaf)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if self.is_refusing:
                raise ConnectionRefusedError
            there, back = await asyncio.open_unix_connection(self._target())
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            for one in (writer, back):
                one.transport.abort()
            self._writers -= {writer, back}
            self._deaf -= {writer, back}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):  # uvloop's word for a transport that is closed
            while data := await reader.read(PIECE_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if writer not in self._deaf:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._deaf:
            writer.close()
