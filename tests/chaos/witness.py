"""The witness: hears what functions say on stderr, beside the worker, from every container that the engine makes.

It shares no code with the worker. A container that is made is attached to at once; starting it takes much longer.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from tests.chaos.history import Began, Ended, History

_LOST = (OSError, asyncio.IncompleteReadError, ValueError)


class Witness:
    """Writes Began and Ended into ``history``, which a test may change for the next one."""

    def __init__(self, socket: str, installation: str, history: History) -> None:
        self._socket = socket
        self._label = f"millrace.installation={installation}"
        self.history = history
        self.deaf = 0  # containers that could not be attached to
        self._listeners: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Witness"]:
        """Hear everything of this installation until the end of the block."""
        listening = asyncio.Event()
        watching = asyncio.create_task(self._watch_forever(listening))
        try:
            async with asyncio.timeout(10):
                await listening.wait()
            yield self
        finally:
            for task in (watching, *self._listeners):
                task.cancel()
            await asyncio.gather(watching, *self._listeners, return_exceptions=True)

    async def _watch_forever(self, listening: asyncio.Event) -> None:
        filters = json.dumps({"type": ["container"], "event": ["create"], "label": [self._label]})
        while True:
            with suppress(*_LOST):
                async with _asking(self._socket, f"GET /events?filters={quote(filters)}") as reader:
                    listening.set()
                    while line := await reader.readline():  # chunks: what is no object is their size
                        if line.startswith(b"{"):
                            self._attach(json.loads(line)["Actor"])
            await asyncio.sleep(0.1)  # the engine is away, or was

    def _attach(self, actor: dict[str, Any]) -> None:
        task = asyncio.create_task(self._listen(actor["ID"], actor["Attributes"]))
        self._listeners.add(task)
        task.add_done_callback(self._listeners.discard)

    async def _listen(self, container: str, labels: dict[str, str]) -> None:
        incarnation, path = labels["millrace"], labels["millrace.path"]
        request = f"POST /containers/{container}/attach?stream=1&stderr=1"
        text = b""
        try:
            async with _asking(self._socket, request, "Connection: Upgrade\r\nUpgrade: tcp\r\n") as reader:
                while True:
                    header = await reader.readexactly(8)
                    text += await reader.readexactly(int.from_bytes(header[4:]))
                    *lines, text = text.split(b"\n")
                    for line in lines:
                        self._hear(line.decode(), container, incarnation, path)
        except asyncio.IncompleteReadError:
            pass  # it is over
        except _LOST:
            self.deaf += 1

    def _hear(self, line: str, container: str, incarnation: str, path: str) -> None:
        what, call_id, attempt = line.split(" ")
        at, number = time.time(), int(attempt)
        if what == "begin":
            self.history.add(
                Began(
                    at=at,
                    call_id=call_id,
                    attempt=number,
                    container=container,
                    incarnation=incarnation,
                    path=path,
                )
            )
        else:
            self.history.add(Ended(at=at, call_id=call_id, attempt=number, container=container))


@asynccontextmanager
async def _asking(socket: str, request: str, headers: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """Ask the engine; what comes after the head of its answer. Raises ValueError if it refuses."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=2**20)
    try:
        writer.write(f"{request} HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\n{headers}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ", 2)[1] not in (b"101", b"200"):
            raise ValueError(head.decode())
        yield reader
    finally:
        writer.close()
