"""Reads one HTTP/1.x response from a function's stdout.

A lone LF ends a line too: functions print them. Everything else that two readers could understand differently is
refused: two lengths, a length and chunks, folded lines, a stray CR or NUL. So is a response without a length, which
would end with the container only. Interim responses (1xx) are skipped, trailers are read and dropped.
"""

import re
from collections.abc import Generator
from typing import NoReturn

from msgspec import Struct

from worker.formats.base import BadResponseError, Response, ResponseTooLargeError
from worker.formats.headers import (
    RESPONSE_HEADERS_MAX,
    RESPONSE_HEADERS_MAX_BYTES,
    TOKEN,
    connection_options,
    response_headers,
)
from worker.formats.reader import OneResponseReader

MAX_INTERIM = 10  # 1xx responses before the real one
MAX_CHUNKS = 250_000  # each costs the event loop some microseconds
_CHUNK_LINE_MAX_BYTES = 256
_PROTOCOL = b"HTTP/1."

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: .*)?")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")

_Fields = list[tuple[str, str]]


class _Head(Struct, frozen=True):
    minor_version: int
    status: int
    fields: _Fields

    def values(self, name: str) -> list[str]:
        return [value for own_name, value in self.fields if own_name.lower() == name]


class HTTPReader(OneResponseReader):
    """See ResponseReader. A response to HEAD has no body, whatever its headers say."""

    excess = re.compile(rb"[\s\S]")

    def __init__(self, *, is_head: bool, max_bytes: int) -> None:
        super().__init__()
        self._input = _Input()
        self._parser = _response(self._input, is_head=is_head, max_bytes=max_bytes)

    def _read(self, piece: bytes) -> int:
        self._input.piece, self._input.at = piece, 0
        try:
            next(self._parser)
        except StopIteration as done:
            self._response = done.value
        self._input.piece = b""  # read as far as it goes
        return self._input.at


class _Input:
    """The piece that was fed last, and how far it was read. Its generators yield when they need the next one."""

    def __init__(self) -> None:
        self.piece = b""
        self.at = 0

    def line(self, max_bytes: int, prefix: bytes = b"") -> Generator[None, None, bytes]:
        """The next line without its end, which must be within *max_bytes* and begin with *prefix*."""
        line = bytearray()
        while True:
            end = self.piece.find(b"\n", self.at, self.at + max_bytes - len(line))
            stop = end if end >= 0 else len(self.piece)
            if end < 0 and len(line) + stop - self.at >= max_bytes:
                _fail("a line or the head of the response is too long")
            line += self.piece[self.at : stop]
            if not line.startswith(prefix[: len(line)]):
                _fail("what the function wrote is no HTTP response")
            self.at = stop
            if end >= 0:
                break
            yield
        self.at += 1
        if line.endswith(b"\r"):
            del line[-1]
        if b"\r" in line or b"\0" in line:
            _fail("the response has a stray CR or NUL")
        return bytes(line)

    def take(self, count: int, into: bytearray) -> Generator[None, None, None]:
        while True:
            taken = self.piece[self.at : self.at + count]
            into += taken
            self.at += len(taken)
            count -= len(taken)
            if count == 0:
                return
            yield


def _response(source: _Input, *, is_head: bool, max_bytes: int) -> Generator[None, None, Response]:
    head = yield from _final_head(source)
    is_chunked, length, headers = _is_chunked(head), _length(head), response_headers(head.fields)
    body = bytearray()
    if is_head or head.status in (204, 304):
        pass
    elif is_chunked:
        yield from _chunks(source, body, max_bytes)
    elif length is None:
        _fail("the response has neither a Content-Length nor chunks")
    elif length > max_bytes:
        raise _too_large(max_bytes)
    else:
        yield from source.take(length, into=body)
    options = connection_options(head.fields)
    return Response(
        status=head.status,
        headers=headers,
        body=bytes(body),
        is_last="close" in options or (head.minor_version == 0 and "keep-alive" not in options),
    )


def _final_head(source: _Input) -> Generator[None, None, _Head]:
    for _ in range(MAX_INTERIM + 1):
        line = yield from source.line(RESPONSE_HEADERS_MAX_BYTES, prefix=_PROTOCOL)
        found = _STATUS_LINE.fullmatch(line)
        if not found or found[2] == b"101":
            _fail("the response has a malformed status line")
        fields = yield from _fields(source)
        head = _Head(int(found[1]), int(found[2]), fields)
        if head.status >= 200:
            return head
    _fail("the function wrote too many interim responses")


def _fields(source: _Input) -> Generator[None, None, _Fields]:
    """The lines up to the next empty one: headers, or trailers."""
    fields: _Fields = []
    left_bytes = RESPONSE_HEADERS_MAX_BYTES
    while line := (yield from source.line(left_bytes)):
        left_bytes -= len(line) + 1
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name.decode("latin-1")):  # a folded line begins with a blank
            _fail("a header of the response is malformed")
        fields.append((name.decode("latin-1"), _text(value.strip(b" \t"))))
        if len(fields) > RESPONSE_HEADERS_MAX:
            _fail("the response has too many headers")
    return fields


def _is_chunked(head: _Head) -> bool:
    codings = [value.lower() for value in head.values("transfer-encoding")]
    if not codings:
        return False
    if codings != ["chunked"] or head.values("content-length") or head.minor_version == 0:
        _fail("the response has a Transfer-Encoding that is not just chunked")
    return True


def _length(head: _Head) -> int | None:
    """The Content-Length, None without one. Repeating the same one is no error."""
    lengths = {part.strip() for value in head.values("content-length") for part in value.split(",")}
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        _fail("the response has a malformed Content-Length")
    return int(lengths.pop()) if lengths else None


def _chunks(source: _Input, body: bytearray, max_bytes: int) -> Generator[None, None, None]:
    for _ in range(MAX_CHUNKS):
        found = _CHUNK_SIZE.fullmatch((yield from source.line(_CHUNK_LINE_MAX_BYTES)))
        if not found:
            _fail("a chunk of the response has a malformed size")
        size = int(found[1], 16)
        if size == 0:
            yield from _fields(source)
            return
        if len(body) + size > max_bytes:
            raise _too_large(max_bytes)
        yield from source.take(size, into=body)
        if (yield from source.line(_CHUNK_LINE_MAX_BYTES)):
            _fail("a chunk of the response is longer than its size")
    _fail("the response has too many chunks")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _too_large(max_bytes: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(f"response is larger than {max_bytes} bytes")


def _fail(text: str) -> NoReturn:
    raise BadResponseError(text)
