"""The demultiplexer: whatever the splits, the same output; what is no frame is refused."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import EngineUnavailableError
from worker.containers.attach import Demultiplexer, ReadRate, Stream

Frames = list[tuple[Stream, bytes]]


def frame(stream: int, content: bytes) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(content).to_bytes(4) + content


def joined(parts: list[bytes]) -> dict[Stream, bytes]:
    """What comes out for each stream when *parts* are fed one after the other."""
    demultiplexer, output = Demultiplexer(), {Stream.STDOUT: b"", Stream.STDERR: b""}
    for part in parts:
        for stream, piece in demultiplexer.feed(part):
            output[stream] += bytes(piece)
    assert demultiplexer.is_between_frames
    return output


SAMPLE = frame(1, b"out") + frame(2, b"error") + frame(1, b"") + frame(1, bytes(range(256))) + frame(2, b"!")
EXPECTED = {Stream.STDOUT: b"out" + bytes(range(256)), Stream.STDERR: b"error!"}


def test_split_at_every_offset() -> None:
    for offset in range(len(SAMPLE) + 1):
        assert joined([SAMPLE[:offset], SAMPLE[offset:]]) == EXPECTED


def test_byte_by_byte() -> None:
    assert joined([bytes([byte]) for byte in SAMPLE]) == EXPECTED


@given(
    st.lists(st.tuples(st.sampled_from([Stream.STDOUT, Stream.STDERR]), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_any_frames_with_any_splits(frames: Frames, cuts: list[int]) -> None:
    data = b"".join(frame(stream, content) for stream, content in frames)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    parts = [data[begin:end] for begin, end in pairwise(edges)]
    assert joined(parts) == {
        stream: b"".join(content for found, content in frames if found is stream)
        for stream in (Stream.STDOUT, Stream.STDERR)
    }


@pytest.mark.parametrize(
    "header", [b"\x03\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\1", b"\1\0\1\0\0\0\0\1", b"HTTP/1.1"]
)
def test_what_is_no_frame_is_refused(header: bytes) -> None:
    with pytest.raises(EngineUnavailableError):
        list(Demultiplexer().feed(header + b"x"))


def test_a_stream_that_ends_in_a_frame_is_noticed() -> None:
    for cut in range(1, 10):
        demultiplexer = Demultiplexer()
        list(demultiplexer.feed(frame(1, b"two")[:cut]))
        assert not demultiplexer.is_between_frames


@given(st.binary(max_size=200))
def test_rubbish_raises_nothing_else(data: bytes) -> None:
    with suppress(EngineUnavailableError):
        list(Demultiplexer().feed(data))


@pytest.mark.parametrize(
    ("stream", "pieces", "piece_bytes", "pause_s"),
    [
        (Stream.STDERR, 1, 1000, 0),
        (Stream.STDERR, 2, 1000, 10),
        (Stream.STDOUT, 1000, 1000, 0),  # the size of a result has another limit
        (Stream.STDERR, 8, 1, 10.48),  # a tiny piece costs 256 bytes
        (Stream.STDOUT, 8, 1, 10.4),
    ],
)
def test_stderr_and_tiny_pieces_are_read_at_a_bounded_rate(
    stream: Stream, pieces: int, piece_bytes: int, pause_s: float
) -> None:
    rate = ReadRate(100, burst_bytes=1000)
    for _ in range(pieces):
        rate.count(stream, piece_bytes)
    assert rate.pause_s() == pytest.approx(pause_s, abs=0.05)
