"""The metrics of an api process. What they mean stands in deploy/docs/metrics.md."""

from common.queue.base import Depth
from common.telemetry.metrics import ProcessMetrics


class Metrics(ProcessMetrics):
    """What this process counts, and the queue as every api process sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted = self.counter("millrace_calls_accepted", "Calls stored and answered 202")
        self.refused = self.counter(
            "millrace_calls_refused", "Calls refused before anything was stored", ["code"]
        )
        self.requests_refused = self.counter(
            "millrace_requests_refused", "Requests refused for who asked, from where, or how often", ["code"]
        )
        self.sync_answered = self.counter(
            "millrace_sync_calls_answered",
            "Sync calls that were queued, by the status code of their answer",
            ["status"],
        )
        self.reconciled = self.counter(
            "millrace_calls_reconciled",
            "Calls the queue had lost and got back, by how that was noticed",
            ["cause"],
        )
        self.sweeps = self.counter(
            "millrace_reconciler_sweeps",
            "Looks at every unfinished call, by what made them necessary",
            ["cause"],
        )
        self.pruned = self.counter(
            "millrace_records_pruned", "Records that were deleted because of their age", ["kind"]
        )
        self.followers = self.gauge("millrace_followers", "Clients that follow calls on this process")
        self.connections = self.gauge("millrace_connections", "Clients that are connected to this process")
        self.queue_ready = self.gauge(
            "millrace_queue_ready", "Calls that can be reserved now", ["queue", "priority"]
        )
        self.queue_calls = self.gauge(
            "millrace_queue_calls", "Calls in the queue by state", ["queue", "state"]
        )
        self.queue_oldest_s = self.gauge(
            "millrace_queue_oldest_ready_seconds", "Age of the oldest ready call", ["queue"]
        )
        self.queue_paused = self.gauge(
            "millrace_queue_paused", "1 while the queue hands out nothing", ["queue"]
        )
        self.queue_unaccounted = self.gauge(
            "millrace_queue_unaccounted",
            "Conservation: known calls less those that stand in some state; always 0",
            ["queue"],
        )
        self.dead_calls = self.gauge(
            "millrace_dead_calls", "Calls that were given up and neither requeued nor purged", ["queue"]
        )

    def show_queue(self, queue: str, depth: Depth | None) -> None:
        """Show the queue's figures; without them there are no series, rather than wrong ones."""
        gauges = (
            self.queue_ready,
            self.queue_calls,
            self.queue_oldest_s,
            self.queue_paused,
            self.queue_unaccounted,
        )
        for gauge in gauges:
            gauge.clear()
        if depth is None:
            return
        for priority, count in enumerate(depth.ready):
            self.queue_ready.labels(queue, str(priority)).set(count)
        self.queue_ready.labels(queue, "sync").set(depth.ready_sync)
        states = {
            "delayed": depth.delayed,
            "due": depth.due,
            "leased": depth.leased,
            "expired": depth.expired,
            "given_up": depth.dead,
        }
        for state, count in states.items():
            self.queue_calls.labels(queue, state).set(count)
        self.queue_oldest_s.labels(queue).set((depth.oldest_ready_ms or 0) / 1000)
        self.queue_paused.labels(queue).set(depth.is_paused)
        self.queue_unaccounted.labels(queue).set(depth.unaccounted)

    def show_dead(self, queue: str, count: int | None) -> None:
        """Show how many calls are dead; nothing if that is not known."""
        self.dead_calls.clear()
        if count is not None:
            self.dead_calls.labels(queue).set(count)
