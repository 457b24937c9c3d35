"""The metrics of a worker process. What they mean stands in deploy/docs/metrics.md."""

from common.telemetry.metrics import ProcessMetrics


class Metrics(ProcessMetrics):
    """What this worker knows of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.running = self.gauge("millrace_worker_calls_running", "Calls this worker runs")
        self.draining = self.gauge(
            "millrace_worker_draining", "1 while this worker takes no more calls, as it ends"
        )
        self.lost = self.counter(
            "millrace_worker_leases_lost", "Runs given up because another may own the call"
        )
        self.outcomes_waiting = self.gauge(
            "millrace_worker_outcomes_waiting", "Outcomes that Postgres has not taken yet"
        )
        self.not_spooled = self.counter(
            "millrace_worker_outcomes_not_spooled",
            "Outcomes that waited in memory alone, as the spool was full or could not be written",
        )
