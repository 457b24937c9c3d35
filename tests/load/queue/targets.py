"""The queue's targets, judged by one run's figures. A figure that was not taken leaves its target open."""

from collections.abc import Iterable

from tests.load.queue.field import FIELD
from tests.load.queue.figures import DepthLine, FieldLine, IdleLine, LatencyLine
from tests.load.queue.plan import MAX_BATCH
from tests.load.target import Target

RESERVE_RATIO = 1.3
BYTES_PER_CALL = 300
BATCH_TIMES = 5
IDLE_PER_S = 1
LATENCY_TIMES = 3


def judge(
    depths: list[DepthLine], idle: list[IdleLine], latency: list[LatencyLine], field: list[FieldLine]
) -> list[Target]:
    """Every target of the queue."""
    return [*_at_depth(depths), *_beside_peers(field), *_waiting(idle, latency)]


def _at_depth(depths: list[DepthLine]) -> Iterable[Target]:
    first, last = depths[0], depths[-1]
    for batch, cost_us in last.reserve_us.items():
        ratio = cost_us / first.reserve_us[batch]
        seen = last.reserve_ms[batch] / first.reserve_ms[batch]
        yield Target(
            wanted=f"a reserve of {batch} at {last.depth:,} costs at most {RESERVE_RATIO} x one at {first.depth:,}",
            measured=f"{ratio:.2f} x inside Redis, {seen:.2f} x for the client",
            is_reached=ratio <= RESERVE_RATIO,
        )
    most = max(line.bytes_per_call for line in depths)
    yield Target(
        wanted=f"at most {BYTES_PER_CALL} bytes a queued call",
        measured=f"{most:.0f}",
        is_reached=most <= BYTES_PER_CALL,
    )


def _beside_peers(field: list[FieldLine]) -> Iterable[Target]:
    ours = {line.batch: line.rates.cycles_per_s for line in field if line.name == "millrace" and line.rates}
    peers = [contestant.name for contestant in FIELD if contestant.kind == "peer"]
    best = _best(field, peers)
    at_one = _best([line for line in field if line.batch == 1], peers)
    beanstalkd = _best(field, ["beanstalkd"])
    for wanted, mine, other, times in (
        (
            f"batch {MAX_BATCH}: {BATCH_TIMES} times the best Python peer's cycles",
            MAX_BATCH,
            best,
            BATCH_TIMES,
        ),
        (f"batch {MAX_BATCH}: at least beanstalkd's cycles", MAX_BATCH, beanstalkd, 1),
        ("batch 1: at least the best Python peer's cycles", 1, at_one, 1),
    ):
        if other is None or mine not in ours:
            yield Target(wanted=wanted, measured="not measured", is_reached=None)
            continue
        ratio = ours[mine] / other[0]
        yield Target(wanted=wanted, measured=f"{ratio:.2f} x {other[1]}", is_reached=ratio >= times)


def _best(field: Iterable[FieldLine], names: list[str]) -> tuple[float, str] | None:
    found = [
        (line.rates.cycles_per_s, f"{line.name}, batch {line.batch}")
        for line in field
        if line.name in names and line.rates is not None
    ]
    return max(found, default=None)


def _waiting(idle: list[IdleLine], latency: list[LatencyLine]) -> Iterable[Target]:
    for line in idle:
        yield Target(
            wanted=f"an idle worker sends less than {IDLE_PER_S} command a second: {line.state}",
            measured=f"{line.sent_per_s:.2f}",
            is_reached=line.sent_per_s < IDLE_PER_S,
        )
    ours, bare = latency
    ratio = ours.latency.p99_ms / bare.latency.p99_ms
    yield Target(
        wanted=f"push → reservation: p99 at most {LATENCY_TIMES} times a bare RPUSH → BLPOP's",
        measured=f"{ratio:.2f} x",
        is_reached=ratio <= LATENCY_TIMES,
    )
