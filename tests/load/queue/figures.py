"""Rates and spreads from what the clients measured. Pure functions and the report's types; measures nothing."""

from collections.abc import Sequence

from msgspec import Struct

from tests.load.queue.client import Answer
from tests.load.spread import Spread, spread


class Rates(Struct, frozen=True, kw_only=True):
    """Calls a second of all clients together, and how long one request for a batch took.

    ``cycles``: whole lives (push, take, ack) by the wall clock. ``push``, ``take_ack``: while doing that step.
    """

    cycles_per_s: float
    push_per_s: float
    take_ack_per_s: float
    push: Spread
    take: Spread
    ack: Spread


class DepthLine(Struct, frozen=True, kw_only=True):
    """Millrace with ``depth`` calls queued. ``reserve_us``: time inside Redis of one reserve; ``rates``: by batch."""

    depth: int
    bytes_per_call: float
    rates: dict[int, Rates]
    reserve_us: dict[int, float]
    reserve_ms: dict[int, float]


class IdleLine(Struct, frozen=True, kw_only=True):
    """A waiting worker's commands. ``sent``: by the worker; ``executed``: with those that its scripts call."""

    state: str
    seconds: float
    sent_per_s: float
    executed_per_s: float
    sent: dict[str, int]


class LatencyLine(Struct, frozen=True, kw_only=True):
    """From before the push to the reservation in the hands of a waiting process."""

    name: str
    samples: int
    latency: Spread


class FieldLine(Struct, frozen=True, kw_only=True):
    """A contestant beside others. ``rounds``: cycles a second of each round. ``missing``: why it was not measured."""

    name: str
    batch: int
    versions: dict[str, str]
    rates: Rates | None = None
    rounds: list[float] = []
    missing: str = ""


def rates(answers: Sequence[Answer]) -> Rates:
    """What clients that worked at the same time did together."""

    def per_s(calls: int, nanoseconds: int) -> float:
        return calls / (nanoseconds / 1e9)

    return Rates(
        cycles_per_s=sum(per_s(a.calls, a.elapsed_ns) for a in answers),
        push_per_s=sum(per_s(a.calls, sum(a.push_ns)) for a in answers),
        take_ack_per_s=sum(per_s(a.calls, sum(a.take_ns) + sum(a.ack_ns)) for a in answers),
        push=spread([ns for a in answers for ns in a.push_ns]),
        take=spread([ns for a in answers for ns in a.take_ns]),
        ack=spread([ns for a in answers for ns in a.ack_ns]),
    )


def median_of(rounds: Sequence[Rates]) -> Rates:
    """The round in the middle, by cycles a second: its figures belong together."""
    return sorted(rounds, key=lambda each: each.cycles_per_s)[(len(rounds) - 1) // 2]
