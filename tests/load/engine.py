"""The Docker Engine for a bare client: its API on the Unix socket, and the streams of an attached container.

What Millrace is measured beside, so it shares no code with the worker's own client, and does no more than it must: it
retries nothing, pulls nothing, and every trouble is an EngineError.
"""

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import aiohttp

SOCKET = "/var/run/docker.sock"
LABEL = "millrace-load"
ANSWER_S = 60.0
HEADER_BYTES = 8
STDOUT = 1


class EngineError(Exception):
    """The engine is not there, or did not do what a benchmark asked for."""


class Attachment(asyncio.Protocol):
    """An attached container: ``output`` gathers its stdout, *on_output* is called after each change."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.output = bytearray()
        self.on_output: Callable[[], None] = lambda: None
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """Write to it for stdin; its end of file is stdin's."""
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        if not self.opened.done():
            self.opened.set_exception(EngineError("the engine hung up"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done() and not self._take_head():
            return
        buffer, at = self._buffer, 0
        while len(buffer) - at >= HEADER_BYTES:
            begin = at + HEADER_BYTES
            end = begin + int.from_bytes(buffer[at + 4 : begin])
            if len(buffer) < end:
                break
            if buffer[at] == STDOUT:
                self.output += buffer[begin:end]
            at = end
        self._buffer = buffer[at:]
        self.on_output()

    def _take_head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if head.split(b" ", 2)[1] not in {b"101", b"200"}:
            self.opened.set_exception(EngineError(head.decode(errors="replace")))
            self.transport.abort()
            return False
        self._buffer = rest
        self.opened.set_result(None)
        return True


class Engine:
    """One engine. Every request but ``wait`` is bounded.

    ``label`` is that of the containers created here, and of no others: a benchmark that was killed may have left some.
    """

    def __init__(self, http: aiohttp.ClientSession, socket: str) -> None:
        self._http = http
        self._socket = socket
        self._mark = secrets.token_hex(6)
        self.label = f"{LABEL}={self._mark}"

    @classmethod
    @asynccontextmanager
    async def open(cls, socket: str = SOCKET) -> AsyncIterator[Self]:
        """The engine of this machine, or the one at *socket*."""
        connector = aiohttp.UnixConnector(socket, limit=0)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession("http://engine", connector=connector, timeout=timeout) as http:
            yield cls(http, socket)

    async def version(self) -> str:
        """The engine's version."""
        return str((await self._ask("GET", "/version"))["Version"])

    async def image_id(self, reference: str) -> str | None:
        """The image's id; None if it is not here."""
        shown = await self._ask("GET", f"/images/{reference}/json", missing=404)
        return None if shown is None else str(shown["Id"])

    async def import_image(self, reference: str, root: bytes, change: str) -> None:
        """Make an image of the tar *root* and one line of a Dockerfile."""
        repository, _, tag = reference.partition(":")
        query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": change}
        await self._ask("POST", "/images/create", params=query, data=io.BytesIO(root))

    async def create(self, config: dict[str, Any]) -> str:
        """A new container's id."""
        config = {**config, "Labels": {LABEL: self._mark}}
        return str((await self._ask("POST", "/containers/create", json=config))["Id"])

    async def attach(self, container: str) -> Attachment:
        """Its streams, from here on."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(ANSWER_S):
            transport, attachment = await loop.create_unix_connection(Attachment, self._socket)
            transport.write(
                f"POST /containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
                "Host: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
            )
            await attachment.opened
        return attachment

    async def start(self, container: str) -> None:
        """Start it."""
        await self._ask("POST", f"/containers/{container}/start")

    async def wait(self, container: str) -> int:
        """Its exit code, once it has ended."""
        return int((await self._ask("POST", f"/containers/{container}/wait"))["StatusCode"])

    async def remove(self, container: str) -> None:
        """Kill and remove it, with its anonymous volumes; harmless if it is gone or going."""
        await self._ask("DELETE", f"/containers/{container}?force=1&v=1", missing=404)

    async def pid(self, container: str) -> int:
        """Of its first process, on this machine."""
        return int((await self._ask("GET", f"/containers/{container}/json"))["State"]["Pid"])

    async def listing(self, label: str = "", *, is_running: bool = False) -> list[str]:
        """The ids of all containers, or of those with *label*."""
        filters = {"label": [label]} if label else {}
        query = {"all": "0" if is_running else "1", "filters": json.dumps(filters)}
        return [str(each["Id"]) for each in await self._ask("GET", "/containers/json", params=query)]

    async def _ask(self, method: str, path: str, *, missing: int = 0, **more: Any) -> Any:
        """The answer's JSON; None if there is none, or if the status is *missing*."""
        try:
            async with self._http.request(method, path, **more) as reply:
                text = await reply.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineError(f"{method} {path}: {error!r}") from error
        if reply.status == missing or (reply.ok and not text):
            return None
        if not reply.ok:
            raise EngineError(f"{method} {path}: {reply.status} {text.strip()}")
        return json.loads(text) if reply.content_type == "application/json" else text
