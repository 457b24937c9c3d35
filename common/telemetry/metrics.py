"""Metrics that both processes have, and how metrics are made. api/metrics.py and worker/metrics.py add their own.

Each process makes one registry; nothing is global. A figure comes from the process that knows it, so a process exports
no metric of the other one. Phases of a call: ``queued`` (due → claimed), ``start`` (claimed → execution began), ``run``
(began → ended). deploy/docs/metrics.md describes every metric; a test compares it with the code.
"""

from collections.abc import Mapping, Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from common.models import Call, Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST

# With PROMETHEUS_MULTIPROC_DIR in the environment the library would keep all values in files there instead.
values.ValueClass = values.MutexValue
# No second series for each counter and histogram that tells when the process first counted.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_PHASE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)


class ProcessMetrics:
    """The metrics of one process. Observing is cheap and never fails."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.server_up = self.gauge(
            "millrace_server_up", "1 if the server answers this process, else 0", ["server"]
        )
        self.finished = self.counter(
            "millrace_calls_finished", "Calls that ended", ["status", "reason", "detail"]
        )
        self.phase_s = Histogram(
            "millrace_call_phase_seconds",
            "Time of finished calls by phase",
            ["phase"],
            buckets=_PHASE_BUCKETS_S,
            registry=self.registry,
        )

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """A counter of this process; its series is called NAME_total."""
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge of this process. One with labels has no series before it is set, and can be cleared."""
        return Gauge(name, text, labels, registry=self.registry)

    def show_servers(self, troubles: Mapping[str, str | None]) -> None:
        """Show which servers answer: those whose trouble is None."""
        for server, trouble in troubles.items():
            self.server_up.labels(server).set(trouble is None)

    def observe_finished(self, call: Call, outcome: Outcome) -> None:
        """Count a finished call and its phase times."""
        self.finished.labels(outcome.status, outcome.reason or "", outcome.detail).inc()
        for phase, seconds in phase_times_s(call, outcome).items():
            self.phase_s.labels(phase).observe(seconds)

    def render(self) -> bytes:
        """The text exposition, of type CONTENT_TYPE."""
        return generate_latest(self.registry)


def phase_times_s(call: Call, outcome: Outcome) -> dict[str, float]:
    """Seconds per phase, for the phases that the call went through. Never negative: clocks of two machines differ."""
    marks = [
        ("queued", call.due_at or call.created_at, call.claimed_at),
        ("start", call.claimed_at, outcome.started_at),
        ("run", outcome.started_at, outcome.completed_at),
    ]
    return {
        phase: max(0.0, (end - begin).total_seconds())
        for phase, begin, end in marks
        if begin is not None and end is not None
    }
