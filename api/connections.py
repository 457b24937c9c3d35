"""Connections: how many clients may open, of each address and in all, and how long the head of a request may take.

A connection is counted by its address, as nothing else is known before a head has come. Those of this machine may use
the reserve: its health checks and its command line get through while others are refused. The limit is below that of
open files, so that accepting a connection never meets the latter.
"""

import asyncio
import math
import time
from typing import cast

from aiohttp import web

from api.clients import Client, name_of
from api.heads import refused
from api.metrics import Metrics
from api.middlewares import APIError
from api.shares import Shares
from common.loopback import is_loopback
from common.open_files import open_files_limit
from common.telemetry.logs import get_logger

HEAD_S = 10.0
FILES_KEPT = 128  # for what else a process opens: servers, logs, and refused connections
MANAGEMENT_CONNECTIONS = 100  # at most a tenth of all
LINGER_S = 1.0  # how long a refused client may take to read why
LINGERING_MAX = 64
LOG_PAUSE_S = 10.0

_log = get_logger("connections")


class Connections:
    """What the connections of one process share."""

    def __init__(self, max_connections: int, metrics: Metrics) -> None:
        total = min(max_connections, max(1, (open_files_limit() or math.inf) - FILES_KEPT))
        self.shares = Shares(int(total), min(MANAGEMENT_CONNECTIONS, int(total) // 10))
        self._metrics = metrics
        self._lingering = 0
        self._log_again_at_s = 0.0

    def let_in(self, address: str) -> Client | None:
        """The client of a new connection, to be given back by `closed`; None if it is one too many."""
        client = Client(name_of(None, address), is_management=is_loopback(address))
        if self.shares.take(client, 1):
            return client
        self._metrics.requests_refused.labels("too_many_connections").inc()
        if time.monotonic() >= self._log_again_at_s:
            self._log_again_at_s = time.monotonic() + LOG_PAUSE_S
            _log.warning(
                "connections are refused", address=address, why=self.shares.state(client, "connections")
            )
        return None

    def closed(self, client: Client) -> None:
        """A connection that was let in is closed."""
        self.shares.give_back(client, 1)

    def refuse(self, transport: asyncio.Transport, address: str) -> None:
        """Say why, and close; but at once if many are just being told."""
        if self._lingering >= LINGERING_MAX:
            transport.abort()
            return
        state = self.shares.state(Client(name_of(None, address)), "connections")
        error = APIError(
            503, f"Too many connections: {state}. Close some, or ask later", code="too_many_connections"
        )
        transport.write(_raw(error))
        self._lingering += 1
        # To close while there is something that it has sent would take back what was just written.
        asyncio.get_running_loop().call_later(LINGER_S, self._end, transport)

    def _end(self, transport: asyncio.Transport) -> None:
        self._lingering -= 1
        transport.close()


class CountedHandler(web.RequestHandler):
    """aiohttp's connection, counted, and closed if the head of a request takes longer than HEAD_S."""

    __slots__ = ("_client", "_connections", "_has_begun", "_head_timer")

    def __init__(self, connections: Connections, manager: web.Server, **options: object) -> None:
        super().__init__(manager, **options)  # type: ignore[arg-type]
        self._connections = connections
        self._client: Client | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._has_begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in, or refuse it."""
        connected = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        self._client = self._connections.let_in(address)
        if self._client is None:
            self._force_close = True  # so that what comes is dropped
            self._connections.refuse(connected, address)
            return
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        self._head_is_there()
        if self._client is not None:
            self._connections.closed(self._client)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came. A head that has begun must be whole soon."""
        is_head = self._waits_for_head()
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._head_is_there()
        elif is_head and data:
            self._has_begun = True
            if self._head_timer is None:
                self._await_head()

    def _waits_for_head(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(HEAD_S, self._head_is_late)

    def _head_is_there(self) -> None:
        self._has_begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport is None or not self._waits_for_head():
            return
        if self._has_begun:
            error = APIError(
                408, f"Request head did not arrive in time: it may take {HEAD_S:g} s", code="head_timeout"
            )
            self.transport.write(_raw(error))
        self.force_close()


def _raw(error: APIError) -> bytes:
    """The whole answer, for a connection on which there is no request to answer."""
    response = refused(error)
    body = cast(bytes, response.body)
    headers = {**response.headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [
        f"HTTP/1.1 {error.status} {response.reason}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
