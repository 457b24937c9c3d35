"""Half-closed connections: a client that has sent its requests and closed its sending side is answered, then closed.

The end of what a client sends does not say whether it still reads: one that has gone altogether sends the same. The
sign that it has gone is a reset, which the system sends in its name once it is sent something. While a request takes
long, an interim answer (100 Continue, which HTTP clients skip) is sent to find out; a streamed answer finds out by
itself. What is not found out so, the system's own probes find: a client's side of a closed connection is forgotten
after a minute.
"""

import asyncio
import socket
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage, PayloadEncodingError
from aiohttp.http_parser import HttpParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from api.connections import CountedHandler

PROBE_AFTER_S = 0.5  # a request that is answered by then is not probed for
LOOK_PAUSE_S = 0.25
# The system's own probes.
IDLE_S, PAUSE_S, PROBES = 20, 5, 3

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSED = 7  # TCP_CLOSE, the state of a connection that was reset


class IncompleteRequestError(BadHttpMessage):
    """The client closed its sending side in the middle of a request's head."""

    def __init__(self) -> None:
        super().__init__("the head ends early")


class HalfClosedHandler(CountedHandler):
    """A connection whose requests are answered also after their client has closed its sending side."""

    __slots__ = ("_answered_body", "_has_ended", "_has_probed", "_look_timer", "_newest_body")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with both sides open."""
        self._has_ended = self._has_probed = False
        self._newest_body: StreamReader = EMPTY_PAYLOAD
        self._answered_body: StreamReader = EMPTY_PAYLOAD
        self._look_timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Look no more."""
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and remember the body that may still be on its way."""
        super().data_received(data)
        if self._messages:
            self._newest_body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks whether to keep it open
        """Whether the connection stays open: while there is something to answer."""
        parser = self._parser
        if self._force_close or parser is None:
            return False
        self._has_ended = True
        self._end_what_is_incomplete(parser)
        if not self._messages and (self._request_count == 0 or self._waits_for_head()):
            return False
        self._close_if_last()
        _let_system_probe(self.transport)
        self._look_timer = self._loop.call_later(PROBE_AFTER_S, self._look)
        return True

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer. The last one on a half-closed connection says that it is."""
        self._answered_body = request.content
        self._close_if_last()
        if self._close and not resp.prepared:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def _close_if_last(self) -> None:
        if self._has_ended and not self._messages:
            self._close = True

    def _end_what_is_incomplete(self, parser: HttpParser[Any]) -> None:
        try:
            is_in_head = parser.feed_eof() is not None
        except PayloadEncodingError:
            self._end_body()
            return
        except Exception:  # noqa: BLE001 - the parser's opinion of a head that is not whole, whatever it trips over
            is_in_head = True
        if is_in_head:
            self._head_is_there()
            refused = _ErrInfo(status=400, exc=IncompleteRequestError(), message="")
            self._request_count += 1
            self._messages.append((refused, EMPTY_PAYLOAD))
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _end_body(self) -> None:
        """Whoever reads the body, or will, is told that it ends early. What is left of an answered one is just over."""
        if self._newest_body is not self._answered_body:
            self._newest_body.set_exception(web.RequestPayloadError("the client closed its sending side"))
        self._newest_body.feed_eof()

    def _look(self) -> None:
        """Break off if the client has gone; find out whether it has."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if _is_reset(transport):
            transport.abort()
            return
        request = self._current_request
        if request is not None and not self._has_probed:
            self._has_probed = True
            if request.version >= HttpVersion11 and request.writer.output_size == 0:
                transport.write(INTERIM)
        self._look_timer = self._loop.call_later(LOOK_PAUSE_S, self._look)


def _let_system_probe(transport: asyncio.Transport | None) -> None:
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None:
        for option, value in (
            (socket.TCP_KEEPIDLE, IDLE_S),
            (socket.TCP_KEEPINTVL, PAUSE_S),
            (socket.TCP_KEEPCNT, PROBES),
        ):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _is_reset(transport: asyncio.Transport) -> bool:
    """Nobody reads from the connection any more, so the loop hears nothing of its end: the system is asked."""
    connection = transport.get_extra_info("socket")
    if connection is None:
        return True
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSED)
