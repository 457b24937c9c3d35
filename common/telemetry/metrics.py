"""Every metric's name, once. Each process makes one Metrics with a registry of its own; nothing is global.

Phases of a call: ``queued`` (due → claimed), ``start`` (claimed → execution began), ``run`` (began → ended).
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from common.models import Call, Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST

# With PROMETHEUS_MULTIPROC_DIR in the environment the library would keep all values in files there instead.
values.ValueClass = values.MutexValue

_PHASE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)


class Metrics:
    """The metrics of one process. Observing is cheap and never fails."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted = Counter(
            "millrace_calls_accepted", "Calls stored and answered 202", registry=self.registry
        )
        self.refused = Counter(
            "millrace_calls_refused",
            "Calls refused before anything was stored",
            ["code"],
            registry=self.registry,
        )
        self.requests_refused = Counter(
            "millrace_requests_refused",
            "Requests refused for who asked, from where, or how often",
            ["code"],
            registry=self.registry,
        )
        self.sync_answered = Counter(
            "millrace_sync_calls_answered",
            "Sync calls that were queued, by the status code of their answer",
            ["status"],
            registry=self.registry,
        )
        self.reconciled = Counter(
            "millrace_calls_reconciled",
            "Calls the queue had lost and got back, by how that was noticed",
            ["cause"],
            registry=self.registry,
        )
        self.sweeps = Counter(
            "millrace_reconciler_sweeps",
            "Looks at every unfinished call, by what made them necessary",
            ["cause"],
            registry=self.registry,
        )
        self.pruned = Counter(
            "millrace_records_pruned",
            "Records that were deleted because of their age",
            ["kind"],
            registry=self.registry,
        )
        self.followers = Gauge(
            "millrace_followers", "Clients that follow calls on this process", registry=self.registry
        )
        self.connections = Gauge(
            "millrace_connections", "Clients that are connected to this process", registry=self.registry
        )
        self.queue_ready = Gauge(
            "millrace_queue_ready", "Calls that can be reserved now", ["priority"], registry=self.registry
        )
        self.queue_calls = Gauge(
            "millrace_queue_calls", "Calls in the queue by state", ["state"], registry=self.registry
        )
        self.queue_oldest_s = Gauge(
            "millrace_queue_oldest_ready_seconds", "Age of the oldest ready call", registry=self.registry
        )
        self.queue_paused = Gauge(
            "millrace_queue_paused", "1 while the queue hands out nothing", registry=self.registry
        )
        self.queue_unaccounted = Gauge(
            "millrace_queue_unaccounted",
            "Conservation: known calls less those that stand in some state; always 0",
            registry=self.registry,
        )
        self.finished = Counter(
            "millrace_calls_finished",
            "Calls that ended",
            ["status", "reason", "detail"],
            registry=self.registry,
        )
        self.phase_s = Histogram(
            "millrace_call_phase_seconds",
            "Time of finished calls by phase",
            ["phase"],
            buckets=_PHASE_BUCKETS_S,
            registry=self.registry,
        )
        self.running = Gauge(
            "millrace_worker_calls_running", "Calls this worker runs", registry=self.registry
        )
        self.lost = Counter(
            "millrace_worker_leases_lost",
            "Runs given up because another may own the call",
            registry=self.registry,
        )

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
