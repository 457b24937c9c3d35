"""Both readers against every way to cut a response, and against whatever a function may write."""

import json
import time
from collections.abc import Iterable
from itertools import pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models import Call, new_id
from worker.formats import HOT
from worker.formats.base import BadResponseError, Response, ResponseReader

MAX_BYTES = 10 * 1024 * 1024
HTTP = [
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 6\r\n\r\n\r\nbody",
    b"HTTP/1.0 200\nTransfer-Encoding:chunked\n\n".replace(b"1.0", b"1.1")
    + b"3;x\r\nabc\r\n00B\r\n\r\n0123\r\n456\r\n0\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.0 304 Not Modified\nContent-Length: 12\n\n",
]
JSON = [
    b' \r\n{"body": "\\\\\\"}\\\\", "x": [{"\\\\": "{["}, null, -1.5e+3, true], "content_type": "a/b"}',
    json.dumps(
        {"body": '\\"\\\\" {[é\0\n\U0001f600', "protocol": {"status_code": 404, "headers": {"a": ["b"]}}}
    ).encode(),
    '{\r\n\t"body": "é\U0001f600"\r\n}'.encode(),
    b"{}",
]
FRAMES = [("http", frame) for frame in HTTP] + [("json", frame) for frame in JSON]
TOKENS = [
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"\n",
        b"3",
        b"0",
        b"abc",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b'"body"',
        b":",
        b",",
        b"protocol",
        b" ",
        b"\0",
        b"\xff",
        b"\\ud800",
        b"1",
    ),
]


def reader(name: str) -> ResponseReader:
    return HOT[name].reader(Call(id=new_id(), method="GET"), MAX_BYTES)


def read(name: str, pieces: Iterable[bytes]) -> Response | None:
    function, found = reader(name), None
    for piece in pieces:
        found = function.feed(memoryview(piece))
    return found


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:stop] for start, stop in pairwise(edges)]


@pytest.mark.parametrize(("name", "frame"), FRAMES)
def test_a_response_is_the_same_wherever_it_is_cut(name: str, frame: bytes) -> None:
    whole = read(name, [frame])
    assert whole is not None
    assert read(name, cut(frame, range(len(frame)))) == whole
    for place in range(len(frame)):
        function = reader(name)
        assert function.feed(frame[:place]) is None
        assert function.end() is None
        assert function.feed(frame[place:]) == whole


@given(st.sampled_from(FRAMES), st.lists(st.integers(0, 1000), max_size=20))
def test_a_response_is_the_same_however_it_is_cut(named: tuple[str, bytes], places: list[int]) -> None:
    name, frame = named
    assert read(name, cut(frame, places)) == read(name, [frame])


@given(st.text(), st.lists(st.integers(0, 1000), max_size=20), st.booleans())
def test_any_text_is_read_back(body: str, places: list[int], is_ascii: bool) -> None:
    frame = json.dumps({"body": body}, ensure_ascii=is_ascii).encode()
    found = read("json", cut(frame, places))
    assert found is not None
    assert found.body == body.encode()


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, bytes]:
    """A frame with a few bytes replaced, removed or put in; or no frame at all."""
    name, frame = draw(st.sampled_from(FRAMES))
    if draw(st.booleans()):
        return name, b"".join(draw(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=3), max_size=30)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(frame)))
        frame = (
            frame[:place] + draw(st.sampled_from([b"", *TOKENS])) + frame[place + draw(st.integers(0, 3)) :]
        )
    return name, frame[: draw(st.integers(0, len(frame)))] if draw(st.booleans()) else frame


@given(broken(), st.lists(st.integers(0, 1000), max_size=8))
def test_whatever_is_written_it_is_a_response_or_a_bad_one(
    named: tuple[str, bytes], places: list[int]
) -> None:
    name, raw = named
    outcomes = []
    for pieces in ([raw], cut(raw, places)):
        try:
            outcomes.append(read(name, pieces))
        except BadResponseError:
            outcomes.append(None)
    # A cut may tell the response first and the error later; it never makes another response of the same bytes.
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_BYTES + b"x" * MAX_BYTES),
        (
            "http",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"40\r\n" + b"x" * 64 + b"\r\n") * 160_000
            + b"0\r\n\r\n",
        ),
        ("json", b'{"body": "' + b"x" * MAX_BYTES + b'"}'),
        ("json", b'{"body": "' + b'\\"' * MAX_BYTES + b'"}'),
        ("json", b'{"body": "' + b"\\\\" * MAX_BYTES + b'"}'),
        ("json", b"{" + b" " * 6 * MAX_BYTES + b"}"),
    ],
    ids=["length", "chunks", "text", "quotes", "backslashes", "blanks"],
)
def test_a_large_response_in_small_pieces_takes_linear_time(name: str, raw: bytes) -> None:
    started_at = time.process_time()
    assert read(name, (raw[start : start + 1024] for start in range(0, len(raw), 1024))) is not None
    # A second or less; with one copy of everything for each piece it would be minutes.
    assert time.process_time() - started_at < 15


@pytest.mark.parametrize(
    ("name", "start", "endless"),
    [
        ("http", b"", b"HTTP/1.1 100 \r\n\r\n"),
        ("http", b"HTTP/1.1 200 ", b"x"),
        ("http", b"HTTP/1.1 200 OK\r\n", b"a:b\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        ("json", b"", b" \n"),
        ("json", b'{"body": "', b"x"),
        ("json", b'{"x": [', b"[],"),
        ("json", b'{"x": [', b'"\\"",'),
        ("json", b'{"x": ', b"["),
    ],
)
def test_what_never_ends_is_given_up(name: str, start: bytes, endless: bytes) -> None:
    piece = endless * (64 * 1024 // len(endless))
    with pytest.raises(BadResponseError):
        read(name, [start, *repeat(piece, 8 * MAX_BYTES // len(piece))])
